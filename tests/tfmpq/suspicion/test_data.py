import keras
import numpy as np
import pytest

from converters.errors import FileFormatError
from converters.frontend.load import load_model
from converters.tflite.reader import load
from tests.support.photo_nets import classifier, photos, to_minus_one_one
from tfmpq.data.representative import check_samples
from tfmpq.suspicion import data as module
from tfmpq.suspicion.data import Look, look_at_data

PHOTOS = photos(48)
RIGHT = to_minus_one_one(PHOTOS)
NOISE = np.random.default_rng(0).normal(size=(40, *RIGHT.shape[1:])).astype(np.float32)


@pytest.fixture(scope="module")
def model() -> keras.Model:
    return classifier(keras, RIGHT)


def look(model: keras.Model | bytes, data: np.ndarray) -> Look:
    floats = load_model(model)
    return look_at_data(check_samples(data, floats.inputs), floats, load(floats.flatbuffer))


def signs(model: keras.Model | bytes, data: np.ndarray) -> list[str]:
    return [s.sign for s in look(model, data).suspicions]


def test_right_data_are_quiet(model: keras.Model):
    seen = look(model, RIGHT)
    assert seen.suspicions == ()
    assert seen.predictions is not None
    assert seen.predictions.count == len(seen.samples) == 32
    assert signs(load_model(model).flatbuffer, RIGHT) == []


@pytest.mark.parametrize(
    ("wrong", "of_model", "of_file"),
    [
        (PHOTOS, "not as in training", "pixels 0..255"),
        (PHOTOS / 255, "not as in training", "one class"),  # of a file only what follows can be seen
        (RIGHT * 0, "constant inputs", "constant inputs"),
        (RIGHT[:1].repeat(40, axis=0), "constant inputs", "constant inputs"),
        (RIGHT[:1] + np.float32(0.2) * NOISE, "one class", "one class"),
        (RIGHT[:5], "few samples", "few samples"),
    ],
    ids=["0..255", "0..1", "zeros", "one image", "one class", "few"],
)
def test_wrong_data(model: keras.Model, wrong: np.ndarray, of_model: str, of_file: str):
    assert of_model in signs(model, wrong)
    of_a_file = signs(load_model(model).flatbuffer, wrong)
    assert of_file in of_a_file


def test_consequences_of_constants_are_not_listed(model: keras.Model):
    assert signs(model, RIGHT * 0) == ["constant inputs"]


def test_a_model_trained_on_0_255():
    raw = classifier(keras, PHOTOS)
    assert signs(raw, PHOTOS) == []
    assert "not as in training" in signs(raw, RIGHT)


def test_a_file_that_does_not_run_is_left_to_later_stages(model: keras.Model, monkeypatch: pytest.MonkeyPatch):
    def fail(*_: object) -> None:
        raise FileFormatError("no such kernel")

    monkeypatch.setattr(module, "predict", fail)
    seen = look(model, RIGHT)
    assert seen.suspicions == ()
    assert seen.predictions is None


def test_tokens_and_several_inputs():
    tokens = keras.Input((6,), dtype="int32", name="tokens")
    scale = keras.Input((1,), name="scale")
    x = keras.layers.GlobalAveragePooling1D()(keras.layers.Embedding(20, 8)(tokens)) * scale
    floats = load_model(keras.Model([tokens, scale], keras.layers.Dense(3)(x)))
    rng = np.random.default_rng(0)
    data = check_samples({"tokens": rng.integers(0, 20, (40, 6)), "scale": np.ones((40, 1))}, floats.inputs)
    assert look_at_data(data, floats, load(floats.flatbuffer)).suspicions == ()


def test_a_look_never_stops_a_conversion(model: keras.Model, monkeypatch: pytest.MonkeyPatch):
    def fails(*_: object) -> None:
        raise ValueError("TensorFlow does not like this model")

    monkeypatch.setattr(module, "training_sign", fails)
    assert signs(model, RIGHT) == []
    assert signs(model, RIGHT[:1] + np.float32(0.2) * NOISE) == ["one class"]  # the other signs are there
