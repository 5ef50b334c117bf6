import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import flatbuffers
import flatbuffers.flexbuffers
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from converters.errors import DataError, MissingDependencyError, ModelError, OptionError
from converters.frontend.load import load_model
from converters.frontend.quantizer import Quantizer
from converters.frontend.tf_converter import int8_twin, measured_twin
from converters.runtime.process_pool import ProcessPool
from converters.tflite import graph
from converters.tflite.reader import load
from converters.tflite.writer import save

tf = pytest.importorskip("tensorflow")
keras = pytest.importorskip("keras")
tf_keras = pytest.importorskip("tf_keras")

WORKER = "converters.frontend.quantizer_worker"
WIDE = 100.0  # range of the second input of the two-input net; the first is +-1


def conv_net() -> Any:
    keras.utils.set_random_seed(1)
    layers = keras.layers
    x = keras.Input((8, 8, 3), name="image")
    y = layers.ReLU(max_value=6)(layers.BatchNormalization()(layers.Conv2D(4, 3, use_bias=False, name="stem")(x)))
    y = layers.ReLU()(layers.DepthwiseConv2D(3, padding="same", name="dw")(y))
    y = layers.Add()([layers.Conv2D(4, 1, name="project")(y), y])
    return keras.Model(x, layers.Softmax()(layers.Dense(5, name="head")(layers.GlobalAveragePooling2D()(y))))


def two_input_net(k: Any) -> Any:
    k.utils.set_random_seed(1)
    first, second = k.Input((8, 8, 3), name="zeta"), k.Input((8, 8, 3), name="alpha")
    return k.Model([first, second], k.layers.Conv2D(4, 3)(first) + k.layers.Conv2D(4, 3)(second))


def samples(*names: str) -> Any:
    def generate() -> Iterator[dict[str, np.ndarray]]:
        random = np.random.default_rng(0)
        for _ in range(8):
            values = [random.uniform(-(WIDE**i), WIDE**i, (1, 8, 8, 3)).astype(np.float32) for i in range(len(names))]
            yield dict(zip(names, values, strict=True))

    return generate


def public(model: Any, generate: Any, folder: Path, io_dtype: str = "int8") -> bytes:
    """What the user would get from TensorFlow's converter, written as its documentation says."""
    specs = [keras.layers.InputSpec(shape=(1, 8, 8, 3), dtype="float32", name=x.name) for x in model.inputs]
    model.export(folder, verbose=False, input_signature=[specs] if len(specs) > 1 else specs)
    converter = tf.lite.TFLiteConverter.from_saved_model(str(folder))
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.representative_dataset = generate
    converter.inference_input_type = converter.inference_output_type = getattr(tf, io_dtype)
    return converter.convert()


def contents(content: bytes) -> tuple[list[str], list[tuple[Any, ...]]]:
    main = load(content).graph
    tensors = [
        (
            t.name,
            t.type,
            t.shape,
            t.data,
            None if t.quantization is None else t.quantization.scale.tobytes(),
            None if t.quantization is None else t.quantization.zero_point.tobytes(),
        )
        for t in main.tensors()
    ]
    return [op.name for op in main.ops], tensors


def input_scales(content: bytes) -> dict[str, float]:
    raw: Any = schema.ModelT.InitFromPackedBuf(content, 0)
    tensors = [raw.subgraphs[0].tensors[i] for i in raw.subgraphs[0].inputs]
    return {
        t.name.decode().removeprefix("serving_default_").removesuffix(":0"): t.quantization.scale[0] for t in tensors
    }


# 8 x 192 uniform samples reach both ends of the range to within 2 %; 255 steps cover it.
RANGES = {"zeta": pytest.approx(2 / 255, rel=0.02), "alpha": pytest.approx(2 * WIDE / 255, rel=0.02)}

OLD_INTERPRETER = "ignore:.*tf.lite.Interpreter is deprecated:UserWarning"


@pytest.mark.filterwarnings(OLD_INTERPRETER)
@pytest.mark.parametrize("io_dtype", ["int8", "uint8", "float32"])
def test_the_twin_is_what_the_public_converter_gives(io_dtype: str, tmp_path: Path):
    model = conv_net()
    twin = int8_twin(load_model(model), samples("image"), io_dtype=io_dtype)
    assert contents(twin) == contents(public(model, samples("image"), tmp_path, io_dtype))


@pytest.mark.filterwarnings(OLD_INTERPRETER)
def test_two_inputs_of_very_different_range(tmp_path: Path):
    model = two_input_net(keras)
    generate = samples("zeta", "alpha")
    twin = int8_twin(load_model(model), generate)
    assert contents(twin) == contents(public(model, generate, tmp_path))
    assert input_scales(twin) == RANGES


def reversed_inputs(content: bytes, keep_signature: bool) -> bytes:
    """The same model, with inputs that are not in the order of their tensor numbers."""
    raw: Any = schema.ModelT.InitFromPackedBuf(content, 0)
    raw.subgraphs[0].inputs = raw.subgraphs[0].inputs[::-1]
    if not keep_signature:
        raw.signatureDefs = None
    builder = flatbuffers.Builder(1024)
    builder.Finish(raw.Pack(builder), b"TFL3")
    return bytes(builder.Output())


@pytest.mark.parametrize("keep_signature", [True, False])
def test_ranges_of_files_with_inputs_in_any_order(keep_signature: bool):
    content = load_model(two_input_net(keras)).flatbuffer
    assert input_scales(int8_twin(load_model(content), samples("zeta", "alpha"))) == RANGES
    swapped = load_model(reversed_inputs(content, keep_signature))
    names = ("zeta", "alpha") if keep_signature else ("serving_default_zeta:0", "serving_default_alpha:0")
    assert input_scales(int8_twin(swapped, samples(*names))) == RANGES


def test_ranges_of_tf_keras_models_and_saved_models(tmp_path: Path):
    model = two_input_net(tf_keras)
    assert input_scales(int8_twin(load_model(model), samples("zeta", "alpha"))) == RANGES
    two_input_net(keras).export(tmp_path, verbose=False)
    assert input_scales(int8_twin(load_model(tmp_path), samples("zeta", "alpha"))) == RANGES


def test_open_batch_and_determinism():
    model = load_model(conv_net(), batch_size=None)
    first, second = (int8_twin(model, samples("image")) for _ in range(2))
    assert first == second
    assert load(first).graph.inputs[0].shape_signature == (-1, 8, 8, 3)


def test_measured_ranges_and_one_sample_give_the_same_file():
    model, names = load_model(two_input_net(keras)), ("zeta", "alpha")
    content, measured = measured_twin(model, samples(*names))
    one = list(samples(*names)())[:1]
    assert int8_twin(model, lambda: iter(one), ranges=measured) == content == int8_twin(model, samples(*names))
    assert int8_twin(model, lambda: iter(one)) != content
    assert {tensor.name for tensor in load(model.flatbuffer).graph.inputs} < set(measured)


@pytest.mark.filterwarnings(OLD_INTERPRETER)
def test_without_the_private_steps_the_public_converter_serves(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    two_input_net(keras).export(tmp_path, verbose=False)
    models = [load_model(m) for m in (two_input_net(keras), two_input_net(tf_keras), tmp_path)]
    expected = [contents(int8_twin(model, samples("zeta", "alpha"))) for model in models]
    file = load_model(models[0].flatbuffer)
    script = f"import sys; sys.modules['tensorflow'] = None; from {WORKER} import main; main()"
    monkeypatch.setattr("converters.frontend.quantizer._COMMAND", (sys.executable, "-c", script))
    monkeypatch.setattr("converters.frontend.quantizer._processes", ProcessPool(Quantizer))
    assert [contents(int8_twin(model, samples("zeta", "alpha"))) for model in models] == expected
    with pytest.raises(MissingDependencyError, match=r"no calibrator.*Keras model"):
        int8_twin(file, samples("zeta", "alpha"))
    assert measured_twin(models[0], samples("zeta", "alpha"))[1] == {}
    with pytest.raises(MissingDependencyError, match=r"with ranges set by hand.*Keras model and set none"):
        int8_twin(models[0], samples("zeta", "alpha"), ranges={"zeta": (0.0, 1.0)})


def test_errors():
    model = load_model(conv_net())
    with pytest.raises(OptionError, match="io_dtype='int4' is unknown: choose one of int8, uint8, float32"):
        int8_twin(model, samples("image"), io_dtype="int4")
    with pytest.raises(DataError, match="no calibration samples"):
        int8_twin(model, lambda: iter(()))

    def failing() -> Iterator[dict[str, np.ndarray]]:
        yield from samples("image")()
        raise ValueError("the caller's own")

    with pytest.raises(ValueError, match="the caller's own"):
        int8_twin(model, failing)
    with pytest.raises(ModelError, match="cannot quantize it to int8"):
        int8_twin(model, lambda: iter([{"image": np.zeros((1, 8, 8, 4), np.float32)}]))


@pytest.mark.parametrize("k", [keras, tf_keras])
def test_recurrent_layers(k: Any):
    x = k.Input((3, 4), name="sequence")
    model = load_model(k.Model(x, k.layers.LSTM(2)(x)))

    def sequences() -> Iterator[dict[str, np.ndarray]]:
        yield {"sequence": np.random.default_rng(0).normal(size=(1, 3, 4)).astype(np.float32)}

    assert load(int8_twin(model, sequences)).graph.inputs[0].type == graph.TensorType.INT8


def test_operators_that_tensorflow_lite_lacks_are_named():
    class Determinant(keras.layers.Layer):
        def call(self, x: Any) -> Any:
            return tf.linalg.det(x)

    x = keras.Input((3, 3))
    with pytest.raises(ModelError, match=r"no operator for MatrixDeterminant\. Leave that part out") as caught:
        load_model(keras.Model(x, Determinant()(x), name="net"))
    assert len(str(caught.value)) < 400


def test_nothing_is_printed(capfd: pytest.CaptureFixture[str]):
    int8_twin(load_model(conv_net()), samples("image"))
    int8_twin(load_model(two_input_net(tf_keras)), samples("zeta", "alpha"))
    assert capfd.readouterr() == ("", "")


def test_the_quantizers_own_reason_reaches_the_message():
    keras.utils.set_random_seed(0)
    x = keras.Input((16,), name="x")
    net = keras.Model(x, keras.layers.Dense(4)(keras.layers.Dense(8, name="first")(x)))
    model = load(load_model(net).flatbuffer)
    first, second = model.graph.ops
    given, made = first.outputs[0], graph.Tensor("composed", first.outputs[0].shape, first.outputs[0].type)
    inner = [graph.Tensor(name, given.shape, given.type) for name in ("in", "out")]
    relu = graph.Op(graph.BuiltinOperator.RELU, [inner[0]], [inner[1]])
    model.graphs.append(graph.Graph([inner[0]], [inner[1]], [relu], "decomposition"))
    raw: Any = schema.OperatorT()
    options: Any = schema.StableHLOCompositeOptionsT()
    options.name, options.decompositionSubgraphIndex, options.version = "odml.thing", 1, 1
    options.compositeAttributes = np.frombuffer(bytes(flatbuffers.flexbuffers.Dumps({})), np.uint8)
    raw.builtinOptions2Type, raw.builtinOptions2 = schema.BuiltinOptions2.StableHLOCompositeOptions, options
    second.inputs[0] = made
    model.graph.ops.insert(1, graph.Op(graph.BuiltinOperator.STABLEHLO_COMPOSITE, [given], [made], raw=raw))
    vectors = [{"x": np.full((1, 16), value, np.float32)} for value in (-1, 1)]
    with pytest.raises(ModelError, match=r"cannot quantize it to int8: .*'stablehlo\.composite' op .*at \"composed\""):
        int8_twin(load_model(save(model)), lambda: iter(vectors))


def test_what_the_converter_makes_and_does_not_accept_is_said_in_short():
    # TensorFlow 2.21 merges a normalization into the dense layer before it, and finds the result wrong.
    keras.utils.set_random_seed(0)
    x = keras.Input((7, 1), name="x")
    y = keras.layers.BatchNormalization()(keras.layers.Dense(2, name="first")(x))
    net = keras.Model(x, keras.layers.Subtract()([keras.layers.Dense(2)(y), y]), name="net")
    with pytest.raises(ModelError, match=r"cannot convert it: 'tfl\.mul' op result type .* \(at 'net.*first") as caught:
        load_model(net)
    assert len(str(caught.value)) < 300
