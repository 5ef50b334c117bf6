"""Files for targets that nobody measured hold what those take, in every form, and say whose times were used."""

from __future__ import annotations

import functools
from collections import Counter
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import tfmpq
from converters.errors import LoweringError, OptionError
from converters.frontend.load import load_model
from converters.lowering.forms import lowerings
from converters.runtime.interpreter import make_interpreter, run
from converters.targets import load_target, work_of
from converters.tflite.graph import Graph
from converters.tflite.reader import load
from tests.support.keras_nets import data, separable
from tfmpq.result import ConversionResult

REFUSED = {("mtk", "split"), ("mtk", "compact"), ("qnn", "compact"), ("openvino", "compact")}


@functools.cache
def network() -> tuple[bytes, np.ndarray]:
    """A model with 3x3, depthwise, 1x1 and dense layers, and data for it."""
    model = separable()
    return load_model(model).flatbuffer, data(model, 8)


@functools.cache
def converted(target: str, lowering: str = "auto", weights: str = "auto") -> ConversionResult:
    model, samples = network()
    options: Any = {"target": target, "lowering": lowering, "weights": weights}
    return tfmpq.convert(model, samples, progress=False, sensitivity="energy", validate=False, **options)


def operators(graph: Graph) -> Counter[tuple[str, str]]:
    return Counter((work.op, work.weights) for work in map(work_of, graph.ops))


@pytest.mark.parametrize(
    "lowering", ["auto", *(pytest.param(form, marks=pytest.mark.slow) for form in lowerings() if form != "auto")]
)
@pytest.mark.parametrize("name", ["mtk", "openvino", "qnn"])
def test_a_file_holds_only_what_its_target_takes(name: str, lowering: str):
    if (name, lowering) in REFUSED:
        with pytest.raises(LoweringError, match=rf"is impossible on target '{name}'.*Use lowering="):
            converted(name, lowering)
        return
    result, target = converted(name, lowering), load_target(name)
    graph = load(result.tflite_model).graph
    assert not [op.name for op in graph.ops if target.refuses(work_of(op))]
    assert any(f"target '{name}' has no measured times" in note for note in result.report.notes)
    make_interpreter(result.tflite_model)  # it runs here too


def test_qnn_keeps_int4_in_convolutions_with_their_scales_and_names():
    result = converted("qnn")
    graph = load(result.tflite_model).graph
    assert operators(graph)["CONV_2D", "INT4"] >= 2
    layers = {layer.name for layer in result.report.layers}
    for op in graph.ops:
        weight = op.inputs[1] if work_of(op).weights == "INT4" else None
        if weight is not None:
            assert weight.name.rsplit("/", 2)[0] in layers
            assert weight.quantization is not None
            assert len(weight.quantization.scale) == weight.shape[0]  # one a row
    # The same integers as int8 rows of one operator: what tfmpq.expand makes of it computes the same.
    expanded = tfmpq.expand(result.tflite_model)
    assert ("CONV_2D", "INT4") not in operators(load(expanded).graph)
    (name,) = (detail["name"] for detail in make_interpreter(expanded).get_input_details())
    feed = {name.split(":")[0].removeprefix("serving_default_"): network()[1][:1]}
    ours, theirs = (
        run(make_interpreter(content, kernels="reference"), feed)[0] for content in (result.tflite_model, expanded)
    )
    assert np.array_equal(ours, theirs)


def test_no_int4_where_none_is_wanted():
    graph = load(converted("qnn", weights="int8").tflite_model).graph
    assert "INT4" not in {weights for _, weights in operators(graph)}
    with pytest.warns(FutureWarning), pytest.raises(OptionError, match=r"weights='int4'.*impossible on 'mtk'"):
        converted("mtk", "parallel", "int4")


def test_openvino_runs_its_file(tmp_path: Path):
    openvino = pytest.importorskip("openvino", reason="OpenVINO is not installed; make compat tries it")
    content = converted("openvino").tflite_model
    path = tmp_path / "model.tflite"
    path.write_bytes(content)
    compiled = openvino.Core().compile_model(path, "CPU")
    interpreter = make_interpreter(content)
    (source,), (result,) = interpreter.get_input_details(), interpreter.get_output_details()
    values = np.random.default_rng(0).integers(-128, 128, source["shape"]).astype(np.int8)
    interpreter.set_tensor(source["index"], values)
    interpreter.invoke()
    expected = interpreter.get_tensor(result["index"]).astype(int)
    assert np.abs(compiled(values)[0].astype(int) - expected).max() <= 4  # steps: it rounds elsewhere


@pytest.mark.slow
def test_mtk_gets_no_gather():
    """Logits whose order must be put back behind the pooling: elsewhere a GATHER does it."""
    keras.utils.set_random_seed(0)
    image = keras.Input((8, 8, 4), name="image")
    x = keras.layers.Conv2D(8, 3, activation="relu", name="first")(image)
    x = keras.layers.Conv2D(6, 3, name="logits")(x)
    model = keras.Model(image, keras.layers.Softmax(name="scores")(keras.layers.GlobalAveragePooling2D(name="pool")(x)))
    found = {}
    for target in ("xnnpack", "mtk"):
        options: Any = {
            "lowering": "parallel",
            "budget": tfmpq.ExtraBits(0.5),
            "recipe": tfmpq.Recipe([tfmpq.Rule(match="logits", bits=4, max_points=2)]),
        }
        result = tfmpq.convert(model, data(model, 8), target=target, progress=False, validate=False, **options)
        found[target] = operators(load(result.tflite_model).graph)["GATHER", ""]
    assert found == {"xnnpack": 1, "mtk": 0}
