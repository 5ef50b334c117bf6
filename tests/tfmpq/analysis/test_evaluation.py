from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from converters.errors import DataError, FileFormatError
from converters.runtime import interpreter as runtime
from converters.runtime.values import quantize
from converters.tflite import graph
from converters.tflite.reader import load
from converters.tflite.writer import save
from tests.support.op_models import softmax_file
from tfmpq.analysis.evaluation import evaluate
from tfmpq.data.evaluation_set import Labelled


def rounding_file(scale: float, *, classes: int = 8, batch: int = 1) -> bytes:
    """A "classifier" whose int8 scores are its float input rounded to multiples of ``scale``."""
    real = graph.Tensor("x", (batch, classes), graph.TensorType.FLOAT32)
    scaling = graph.Quantization(np.array([scale], np.float32), np.array([0], np.int64))
    integer = graph.Tensor("q", (batch, classes), graph.TensorType.INT8, quantization=scaling)
    op = graph.Op(graph.BuiltinOperator.QUANTIZE, [real], [integer])
    return save(graph.Model([graph.Graph([real], [integer], [op])], [], {}))


@pytest.fixture(scope="module")
def scores() -> Labelled:
    """Scores of 200 samples in 8 classes; rounded to whole numbers -2..2 most have ties."""
    rng = np.random.default_rng(0)
    return Labelled({"x": rng.uniform(-2, 2, (200, 8)).astype(np.float32)}, rng.integers(0, 8, 200))


@pytest.mark.parametrize("batch", [1, 16])  # 16 does not divide 200: the last batch is filled up
def test_ties_go_to_the_lower_class(scores, batch):
    rounded = np.rint(scores.inputs["x"]).astype(np.int8)
    order = np.argsort(-rounded, axis=1, kind="stable")  # stable: of equal scores the lower class first
    result = evaluate(rounding_file(1.0, batch=batch), scores)
    assert result.count == 200
    assert result.top1 is not None
    assert result.top1 == np.mean(rounded.argmax(axis=1) == scores.labels)
    assert result.top5 == np.mean((order[:, :5] == scores.labels[:, None]).any(axis=1))
    assert result.top1_error == pytest.approx(np.sqrt(result.top1 * (1 - result.top1) / 199))
    assert result.against is None


def test_comparison_with_a_second_file(scores):
    x = scores.inputs["x"]
    coarse, fine = np.rint(x), np.rint(x / np.float32(1 / 16)) / 16
    result = evaluate(rounding_file(1.0), scores, against=rounding_file(1 / 16)).against
    assert result is not None
    hits = [s.argmax(axis=1) == scores.labels for s in (coarse, fine)]
    assert result.top1 == np.mean(hits[1])
    assert result.agreement == np.mean(coarse.argmax(axis=1) == fine.argmax(axis=1))
    paired = hits[0].astype(float) - hits[1]
    assert result.difference == pytest.approx(paired.mean())
    assert result.difference_error == pytest.approx(paired.std(ddof=1) / np.sqrt(200))
    noise = np.sum((coarse - fine) ** 2, dtype=np.float64)
    assert result.sqnr_db == pytest.approx((10 * np.log10(np.sum(fine**2, dtype=np.float64) / noise),))
    assert result.largest_difference == np.abs(coarse - fine).max()


def test_a_file_against_itself_without_labels(scores):
    file = rounding_file(0.5)
    result = evaluate(file, Labelled(scores.inputs, None), against=file)
    assert result.against is not None
    assert result.top1 is result.top5 is result.against.difference is None
    assert (result.against.agreement, result.against.sqnr_db, result.against.largest_difference) == (1, (np.inf,), 0)
    assert json.loads(json.dumps(result.to_dict(), allow_nan=False))["against"]["sqnr_db"] == [None]
    assert "same prediction       100.00%" in str(result)


def test_float_and_quantized_samples_give_the_same_result(conv_net_int8, conv_net_float, images):
    labels = np.arange(len(images)) % 10
    real = evaluate(conv_net_int8, Labelled({"x": images}, labels), against=conv_net_float)
    (detail,) = runtime.inputs(runtime.make_interpreter(conv_net_int8))
    quantized = Labelled({"image": quantize(images, detail)}, labels)
    assert evaluate(conv_net_int8, quantized).top1 == real.top1
    assert real.against is not None
    assert real.against.sqnr_db[0] > 30  # 43 dB measured; wrongly fed images give about 0
    with pytest.raises(DataError, match=r"already quantized integers for input 'image'.*give float samples"):
        evaluate(conv_net_int8, quantized, against=conv_net_float)


def test_few_classes_have_no_top5():
    data = Labelled({"x": np.eye(5, dtype=np.float32)}, np.arange(5))
    assert evaluate(rounding_file(1.0, classes=5), data).top5 is None
    assert evaluate(rounding_file(1.0, classes=5), data).top1 == 1


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (
            Labelled({"x": np.zeros((3, 7))}, np.zeros(3, int)),
            r"input 'x' have shape \(7,\), but the model takes \(8,\)",
        ),
        (Labelled({"x": np.zeros((3, 8))}, np.array([0, 8, 1])), "sample 1 has label 8, but the model has 8 classes"),
        (Labelled({"a": np.zeros((3, 8)), "b": np.zeros((3, 8))}, None), r"inputs are \['x'\].*hold \['a', 'b'\]"),
        (Labelled({"x": np.zeros((3, 8))}, None), "neither labels 'y' nor a second file"),
        (Labelled({"x": np.zeros((3, 8))}, np.zeros(2, int)), "2 labels for 3 samples"),
    ],
)
def test_data_that_do_not_fit(data, message):
    against = rounding_file(1.0) if "inputs are" in message else None
    with pytest.raises(DataError, match=message):
        evaluate(rounding_file(1.0), data, against=against)


def test_outputs_that_cannot_be_compared_or_scored():
    data = Labelled({"x": np.zeros((2, 8), np.float32)}, None)
    model = load(rounding_file(1.0))
    (output,) = model.graph.outputs
    model.graph.outputs.append(output)
    with pytest.raises(DataError, match=r"shapes \[\(1, 8\)\] and \[\(1, 8\), \(1, 8\)\]"):
        evaluate(rounding_file(1.0), data, against=save(model))
    for tensor in model.graph.tensors():
        tensor.shape = (1, 2, 4)
    with pytest.raises(DataError, match=r"shape \(1, 2, 4\) for one sample, which are no class scores"):
        evaluate(save(model), Labelled({"x": np.zeros((2, 2, 4))}, np.zeros(2, int)))
    with pytest.raises(FileFormatError, match="absent"):
        evaluate("absent.tflite", data, against=rounding_file(1.0))


def test_works_without_tensorflow(run_python, tmp_path: Path, scores):
    (tmp_path / "net.tflite").write_bytes(rounding_file(1.0))
    np.savez(tmp_path / "data.npz", x=scores.inputs["x"], y=scores.labels)
    result = run_python(
        """
        from tfmpq.analysis.evaluation import evaluate
        from tfmpq.data.evaluation_set import load_labelled
        print(evaluate(sys.argv[1], load_labelled(sys.argv[2])).top1)
        """,
        tmp_path / "net.tflite",
        tmp_path / "data.npz",
        blocked=("tensorflow", "keras", "flatbuffers", "absl", "tqdm"),
    )
    assert result.returncode == 0, result.stderr
    assert float(result.stdout) == evaluate(rounding_file(1.0), scores).top1


def test_a_file_that_ends_the_process():
    data = Labelled({"x": np.zeros((2, 10), np.float32)}, np.zeros(2, int))
    with pytest.raises(FileFormatError, match=r"the model \(\d+ bytes\) cannot be run: .* at operator 0, SOFTMAX"):
        evaluate(softmax_file(1e-9), data, kernels="reference")
