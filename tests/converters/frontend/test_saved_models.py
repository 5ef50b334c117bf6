import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from converters.errors import FileFormatError, MissingDependencyError, ModelError, OptionError
from converters.frontend.float_model import FloatModel
from converters.frontend.load import load_model
from converters.runtime import interpreter as runtime
from converters.tflite.reader import load

tf = pytest.importorskip("tensorflow")
keras = pytest.importorskip("keras")
tf_keras = pytest.importorskip("tf_keras")

GENERATIONS = {3: keras, 2: tf_keras}
IMAGE = np.random.default_rng(0).normal(size=(1, 6, 6, 1)).astype(np.float32)

pytestmark = [
    pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file:UserWarning"),
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy:DeprecationWarning"),  # Keras's
]


def small(k: Any) -> Any:
    x = k.Input((6, 6, 1), name="image")
    y = k.layers.Conv2D(3, 3, dilation_rate=2, name="conv")(x)
    return k.Model(x, k.layers.Dense(2, name="head")(k.layers.Flatten()(y)), name="small")


def output(model: FloatModel) -> np.ndarray:
    return runtime.run(runtime.make_interpreter(model.flatbuffer, kernels="builtin"), {"image": IMAGE})[0]


@pytest.mark.parametrize("generation", GENERATIONS)
@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_keras_files_load_with_the_generation_that_wrote_them(generation: int, suffix: str, tmp_path: Path):
    model = small(GENERATIONS[generation])
    path = tmp_path / f"model{suffix}"
    model.save(path)
    converted = load_model(path)
    assert (converted.names.keras_generation, converted.names.paths) == (generation, ("conv", "head"))
    assert str(path) in converted.source
    np.testing.assert_allclose(output(converted), model(IMAGE), atol=1e-5)  # float32 roundings of values near 1
    path.rename(tmp_path / "renamed.model")
    with pytest.raises(ModelError, match=rf"Keras {generation}\..*Rename the file to renamed\{suffix}"):
        load_model(tmp_path / "renamed.model")


@pytest.mark.parametrize("generation", GENERATIONS)
def test_saved_model_directories(generation: int, tmp_path: Path):
    model = small(GENERATIONS[generation])
    if generation == 3:
        model.export(tmp_path, verbose=False)
    else:
        model.save(tmp_path)
    converted = load_model(tmp_path)
    assert [(s.name, s.shape) for s in converted.inputs] == [("image", (1, 6, 6, 1))]
    assert (converted.names.paths, converted.names.keras_generation) == ((), None)
    # With an open batch the dilated convolution would be four ops.
    assert [op.name for op in load(converted.flatbuffer).graph.ops] == ["CONV_2D", "RESHAPE", "FULLY_CONNECTED"]
    np.testing.assert_allclose(output(converted), model(IMAGE), atol=1e-5)
    assert load_model(str(tmp_path), batch_size=None).inputs[0].shape == (None, 6, 6, 1)


class Function(tf.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = tf.Variable(np.eye(4, dtype=np.float32) * 2)

    def __call__(self, **inputs: Any) -> dict[str, Any]:
        return {"sum": sum(tf.matmul(value, self.weight) * (i + 1) for i, value in enumerate(inputs.values()))}


def save_function(path: Path, keys: tuple[str, ...] = ("serving_default",), **shapes: list[int | None]) -> None:
    module = Function()
    specs = {name: tf.TensorSpec(shape, tf.float32, name) for name, shape in shapes.items()}
    functions = {key: tf.function(lambda **inputs: module(**inputs)).get_concrete_function(**specs) for key in keys}
    tf.saved_model.save(module, str(path), signatures=functions)


def test_saved_model_of_a_function(tmp_path: Path):
    save_function(tmp_path / "a", ("only",), b=[None, 4], a=[3, 4])
    model = load_model(tmp_path / "a")
    assert [(s.name, s.shape) for s in model.inputs] == [("a", (3, 4)), ("b", (1, 4))]  # a fixed batch stays

    save_function(tmp_path / "b", ("first", "second"), a=[None, 4])
    with pytest.raises(ModelError, match=r"signatures \['first', 'second'\].*'serving_default'"):
        load_model(tmp_path / "b")
    assert load_model(tmp_path / "b", signature="second").inputs[0].name == "a"
    with pytest.raises(OptionError, match=r"signature='third': SavedModel .* has the signatures \['first', 'second'\]"):
        load_model(tmp_path / "b", signature="third")

    save_function(tmp_path / "c", a=[None, None, 4])
    with pytest.raises(ModelError, match=r"'a' has shape \(None, None, 4\).*sizes=\{'a': \(128, 4\)\}"):
        load_model(tmp_path / "c")
    assert load_model(tmp_path / "c", sizes={"a": (6, 4)}).inputs[0].shape == (1, 6, 4)


def test_directories_that_hold_no_model(tmp_path: Path):
    with pytest.raises(ModelError, match=r"no SavedModel: it holds no saved_model\.pb"):
        load_model(tmp_path)
    (tmp_path / "saved_model.pb").write_bytes(b"\x00broken")
    with pytest.raises(ModelError, match="cannot be loaded"):
        load_model(tmp_path)


def test_paths_that_hold_no_model(tmp_path: Path):
    with pytest.raises(ModelError, match=r"missing.keras' does not exist"):
        load_model(tmp_path / "missing.keras")
    text = tmp_path / "model.py"
    text.write_text("import keras")
    with pytest.raises(ModelError, match="is no model: its first bytes are b'import k'"):
        load_model(text)
    archive = tmp_path / "model.keras"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("readme.txt", "")
    with pytest.raises(ModelError, match=r"no complete \.keras model"):
        load_model(archive)
    empty = tmp_path / "empty.tflite"
    empty.write_bytes(b"")
    with pytest.raises(FileFormatError, match=r"empty\.tflite'.*not a TensorFlow Lite file"):
        load_model(empty)


@pytest.mark.parametrize("generation", GENERATIONS)
def test_weights_and_cut_off_files(generation: int, tmp_path: Path):
    model = small(GENERATIONS[generation])
    weights = tmp_path / "model.weights.h5"
    model.save_weights(weights)
    with pytest.raises(ModelError, match=r"weights only.*load_weights"):
        load_model(weights)
    for suffix in (".keras", ".h5"):
        path = tmp_path / f"model{suffix}"
        model.save(path)
        path.write_bytes(path.read_bytes()[:2000])
        with pytest.raises(ModelError, match=r"no complete .keras model|cannot be read as HDF5"):
            load_model(path)


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_keras_2_files_need_tf_keras(suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / f"model{suffix}"
    small(tf_keras).save(path)
    monkeypatch.setitem(sys.modules, "tf_keras", None)
    with pytest.raises(MissingDependencyError, match=r"saved by Keras 2\.\d+.*pip install tf_keras"):
        load_model(path)


@pytest.mark.parametrize("name", ["Mine", "QuantizeWrapperV2"])
def test_files_with_unknown_layers(name: str, tmp_path: Path):
    wrapper = type(name, (tf_keras.layers.Wrapper,), {"call": lambda self, x: self.layer(x)})
    x = tf_keras.Input((4,))
    path = tmp_path / "model.h5"
    tf_keras.Model(x, wrapper(tf_keras.layers.Dense(2))(x)).save(path)
    advice = "custom_objects" if name == "Mine" else r"tensorflow-model-optimization.*quantize_scope\(\)"
    with pytest.raises(ModelError, match=rf"cannot be loaded by tf_keras.*{name}.*{advice}"):
        load_model(path)


def test_too_big(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path, folder = tmp_path / "model.keras", tmp_path / "saved"
    small(keras).save(path)
    small(keras).export(folder, verbose=False)
    monkeypatch.setattr("converters.frontend.float_model.MAX_BYTES", 1000)
    for place in (path, folder):
        with pytest.raises(ModelError, match=f"{place.name}' holds .* GiB"):
            load_model(place)
