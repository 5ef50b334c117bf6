from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tf_keras

from converters.errors import DataError, FileFormatError
from converters.frontend.load import load_model
from converters.runtime import interpreter as runtime
from converters.tflite import graph
from converters.tflite.reader import load
from converters.tflite.writer import save
from tests.support.lstm_files import lstm_file, lstm_graph, lstm_weights, sequences
from tests.support.recurrent_nets import DATA, recurrent
from tests.support.whole_files import two_entries


@pytest.fixture(scope="module")
def two_inputs(to_tflite: Callable[..., bytes]) -> bytes:
    """Computes left - 10 * right, with any batch size; the signature's order is not the alphabet's."""
    import tensorflow as tf

    module = tf.Module()

    @tf.function
    def subtract(right: tf.Tensor, left: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"difference": left - 10.0 * right}

    signature = subtract.get_concrete_function(
        **{name: tf.TensorSpec((None, 2), tf.float32, name) for name in ("right", "left")}
    )
    return to_tflite(module, signatures=signature)


def test_all_kernels_run_and_agree_with_keras(conv_net, conv_net_float, images):
    expected = np.asarray(conv_net(images[:1]))
    for kernels in ("xnnpack", "builtin", "reference"):
        (result,) = runtime.run(runtime.make_interpreter(conv_net_float, kernels=kernels), {"image": images[:1]})
        # float32 sums of at most 72 products in another order: well within 1e-5 of values of order 1
        np.testing.assert_allclose(result, expected, atol=1e-5)


def test_feeds_go_by_signature_name_and_resize_the_batch(two_inputs):
    interpreter = runtime.make_interpreter(two_inputs)
    for batch in (1, 3, 2):
        right = np.arange(batch * 2, dtype=np.float32).reshape(batch, 2)
        left = right + 1
        (result,) = runtime.run(interpreter, {"left": left, "right": right})
        np.testing.assert_array_equal(result, left - 10 * right)


def test_a_file_without_signature_is_fed_by_tensor_name(two_inputs):
    model = load(two_inputs)
    model.signatures.clear()
    interpreter = runtime.make_interpreter(save(model))
    names = [detail.name for detail in runtime.inputs(interpreter)]
    assert sorted(names) == sorted(tensor.name for tensor in model.graph.inputs)
    left, right = np.array([[5, 6]], np.float32), np.array([[1, 2]], np.float32)
    (result,) = runtime.run(interpreter, {name: left if "left" in name else right for name in names})
    np.testing.assert_array_equal(result, left - 10 * right)


def test_wrong_feeds_are_named(two_inputs, conv_net_float):
    two = runtime.make_interpreter(two_inputs)
    good = np.zeros((1, 2), np.float32)
    with pytest.raises(DataError, match=r"'left'.*\['right'\] were given"):
        runtime.run(two, {"right": good})
    with pytest.raises(DataError, match="input 'left' is given NaN"):
        runtime.run(two, {"left": np.full((1, 2), np.nan), "right": good})
    with pytest.raises(DataError, match="input 'left' is given values of type <U1"):
        runtime.run(two, {"left": np.array([["a", "b"]]), "right": good})
    with pytest.raises(DataError, match=r"input 'image' has shape \(8, 8, 3\), but the model takes \(1, 8, 8, 3\)"):
        runtime.run(runtime.make_interpreter(conv_net_float), {"image": np.zeros((8, 8, 3), np.float32)})


@pytest.mark.parametrize("damage", ["empty", "text", "cut", "refused"])
def test_bad_files_are_refused_by_name(damage, tmp_path, conv_net_int8):
    content = {
        "empty": b"",
        "text": b"<html>404 not found</html>",
        "cut": conv_net_int8[: len(conv_net_int8) // 2],
        "refused": _with_missing_bias_type(conv_net_int8),
    }[damage]
    path = tmp_path / "broken.tflite"
    path.write_bytes(content)
    reason = {"refused": "refuses to run it with xnnpack kernels: .*[A-Z]", "cut": "cut off or corrupt"}
    with pytest.raises(FileFormatError, match=rf"broken\.tflite.*{reason.get(damage, 'TFL3')}"):
        runtime.make_interpreter(path)


def _with_missing_bias_type(content: bytes) -> bytes:
    """A well-formed file that no kernel accepts: the bias of an int8 convolution declared as float."""
    model = load(content)
    model.graph.ops[0].input(2).type = graph.TensorType.FLOAT32
    return save(model)


def test_missing_file_is_named(tmp_path):
    with pytest.raises(FileFormatError, match=r"absent\.tflite' cannot be read: No such file"):
        runtime.make_interpreter(tmp_path / "absent.tflite")


def test_works_without_tensorflow(run_python, tmp_path: Path, conv_net_int8, images):
    (tmp_path / "net.tflite").write_bytes(conv_net_int8)
    np.save(tmp_path / "image.npy", images[:1])
    result = run_python(
        """
        import numpy as np
        from converters.runtime import interpreter as runtime
        interpreter = runtime.make_interpreter(sys.argv[1])
        (scores,) = runtime.run(interpreter, {"image": np.load(sys.argv[2])})
        print(runtime.runtime_name(), scores.tolist(), sep="|")
        assert "tensorflow" not in sys.modules
        """,
        tmp_path / "net.tflite",
        tmp_path / "image.npy",
        blocked=("tensorflow", "keras", "flatbuffers", "absl", "tqdm"),
    )
    assert result.returncode == 0, result.stderr
    name, scores = result.stdout.strip().split("|")
    assert name.startswith("ai-edge-litert ")
    (expected,) = runtime.run(runtime.make_interpreter(conv_net_int8), {"image": images[:1]})
    assert scores == str(expected.tolist())


def test_falls_back_to_tensorflow_and_says_what_to_install_without_any(run_python, tmp_path: Path, conv_net_int8):
    path = tmp_path / "net.tflite"
    path.write_bytes(conv_net_int8)
    code = """
    from converters.runtime import interpreter as runtime
    runtime.make_interpreter(sys.argv[1])
    print(runtime.runtime_name())
    """
    others = ("ai_edge_litert", "tflite_runtime")
    assert run_python(code, path, blocked=others).stdout.startswith("tensorflow 2.")
    failed = run_python(code, path, blocked=(*others, "tensorflow"))
    assert "MissingDependencyError" in failed.stderr
    assert "pip install ai-edge-litert" in failed.stderr


def test_names_are_those_of_the_main_graphs_signature():
    """Tensors of another graph have the same numbers: its signature may come first."""
    model = load(two_entries())
    model.signatures.reverse()
    model.signatures[0].inputs = [("step", model.signatures[0].inputs[0][1])]
    assert [detail.name for detail in runtime.inputs(runtime.make_interpreter(save(model)))] == ["x"]


def test_every_run_starts_from_states_of_zero():
    interpreter = runtime.make_interpreter(load_model(recurrent(tf_keras, "lstm")).flatbuffer)
    first = runtime.run(interpreter, {"x": DATA[:1]})[0]
    runtime.run(interpreter, {"x": DATA[1:2]})
    np.testing.assert_array_equal(runtime.run(interpreter, {"x": DATA[:1]})[0], first)


def test_states_of_several_graphs():
    """The runtime's reset looks at variables of all graphs, and fails where one has no memory yet."""
    weights = lstm_weights()
    alone, both = (
        runtime.make_interpreter(lstm_file(*(lstm_graph(name, [weights]) for name in names)))
        for names in (("main",), ("main", "other"))
    )
    for _ in range(2):  # from zero each time
        expected, found = (runtime.run(interpreter, {"x": sequences(1)})[0] for interpreter in (alone, both))
        np.testing.assert_array_equal(found, expected)
