from collections.abc import Callable, Iterator
from typing import Any

import flatbuffers
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from converters.errors import FileFormatError, ModelError
from converters.frontend.load import load_model

tf = pytest.importorskip("tensorflow")
keras = pytest.importorskip("keras")


@pytest.fixture(scope="module")
def model() -> Any:
    x = keras.Input((6, 6, 1), name="image")
    y = keras.layers.Conv2D(3, 3, kernel_initializer=keras.initializers.Constant(0.625), name="conv")(x)
    return keras.Model(x, keras.layers.Dense(64)(keras.layers.Flatten()(y)))


@pytest.fixture(scope="module")
def content(model: Any) -> bytes:
    return load_model(model).flatbuffer


def edited(content: bytes, edit: Callable[[Any], None]) -> bytes:
    raw = schema.ModelT.InitFromPackedBuf(content, 0)
    edit(raw)
    builder = flatbuffers.Builder(1024)
    builder.Finish(raw.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def test_float_files_pass_unchanged(content: bytes, tmp_path: Any):
    path = tmp_path / "model.tflite"
    path.write_bytes(content)
    for source in (content, bytearray(content), path, str(path)):
        model = load_model(source)
        assert model.flatbuffer == content
        assert [(s.name, s.shape, s.dtype) for s in model.inputs] == [("image", (1, 6, 6, 1), np.float32)]
        assert (model.names.paths, model.names.keras_generation) == ((), None)
    assert load_model(path).source == f"file '{path}'"


def test_without_signature_inputs_go_by_tensor_name(content: bytes):
    bare = edited(content, lambda raw: setattr(raw, "signatureDefs", None))
    assert [s.name for s in load_model(bare).inputs] == ["serving_default_image:0"]


def test_an_open_batch_is_seen(content: bytes):
    def open_dimension(axis: int) -> bytes:
        def edit(raw: Any) -> None:
            tensor = raw.subgraphs[0].tensors[raw.subgraphs[0].inputs[0]]
            tensor.shapeSignature = [-1 if i == axis else n for i, n in enumerate([1, 6, 6, 1])]

        return edited(content, edit)

    assert load_model(open_dimension(0)).inputs[0].shape == (None, 6, 6, 1)
    with pytest.raises(ModelError, match=r"'image' has shape \(1, 6, None, 1\).*sizes=\{'image': \(6, 224, 1\)\}"):
        load_model(open_dimension(2))


@pytest.mark.parametrize("kept", [0, 7, 8, 40, 500, 0.5, -1])
def test_cut_off_files(content: bytes, kept: float):
    length = int(kept * len(content)) if isinstance(kept, float) else kept
    with pytest.raises(FileFormatError, match=r"the .tflite content.*again"):
        load_model(content[:length])


def quantized(model: Any, kind: str) -> bytes:
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]

    def samples() -> Iterator[list[np.ndarray]]:
        yield [np.ones((1, 6, 6, 1), np.float32)]

    if kind == "int8":
        converter.representative_dataset = samples
    return converter.convert()


@pytest.mark.filterwarnings("ignore:Statistics for quantized inputs were expected:UserWarning")
@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("int8", r"already quantized: tensor '.*' \(INT8\) carries a scale.*optimizations"),
        ("dynamic range", r"already quantized: tensor '.*' \(INT8\) carries a scale"),
    ],
)
def test_quantized_files(model: Any, kind: str, message: str):
    with pytest.raises(ModelError, match=message):
        load_model(quantized(model, kind))


def test_fake_quantization_inside_a_keras_model():
    class FakeQuantize(keras.layers.Layer):
        def call(self, x: Any) -> Any:
            return tf.quantization.fake_quant_with_min_max_args(x, -6, 6)

    x = keras.Input((4,))
    with pytest.raises(ModelError, match=r"Keras 3 model .* is already quantized.*fake-quantization"):
        load_model(keras.Model(x, keras.layers.Dense(3)(FakeQuantize()(x))))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_broken_weights_are_located(content: bytes, value: float):
    number = np.float32(0.625).tobytes()
    assert content.count(number) >= 27
    broken = content.replace(number, np.float32(value).tobytes(), 1)
    with pytest.raises(ModelError, match=rf"constant '.*conv.*' of CONV_2D, shape \(3, 3, 3, 1\), is {value} at \(0"):
        load_model(broken)


def test_operators_the_runtime_does_not_have(content: bytes):
    def from_the_future(raw: Any) -> None:
        raw.operatorCodes[0].version = 999

    with pytest.raises(FileFormatError, match=r"the \.tflite content .* refuses to run it"):
        load_model(edited(content, from_the_future))


def test_inputs_no_integer_model_takes(content: bytes):
    def strings(raw: Any) -> None:
        raw.subgraphs[0].tensors[raw.subgraphs[0].inputs[0]].type = schema.TensorType.STRING

    with pytest.raises(ModelError, match="input 'image' holds values of type STRING"):
        load_model(edited(content, strings))


def test_too_big(content: bytes, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("converters.frontend.float_model.MAX_BYTES", len(content) - 1)
    with pytest.raises(ModelError, match=r"holds .* GiB"):
        load_model(content)
