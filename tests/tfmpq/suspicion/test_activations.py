from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

from converters.frontend.load import load_model
from converters.frontend.tf_converter import int8_twin
from converters.tflite.reader import load
from tfmpq.suspicion.activations import activation_signs
from tfmpq.suspicion.predictions import predict
from tfmpq.suspicion.suspicion import Suspicion

RNG = np.random.default_rng(0)


def signs(model: keras.Model, data: np.ndarray, io_dtype: str = "int8") -> tuple[Suspicion, ...]:
    floats = load_model(model)
    samples = [{floats.inputs[0].name: value[None]} for value in data]
    stock = load(int8_twin(floats, lambda: iter(samples), io_dtype=io_dtype)).graph
    return activation_signs(load(floats.flatbuffer), stock, samples, predict(floats.flatbuffer, samples))


def attention(mask: float | None) -> tuple[keras.Model, np.ndarray]:
    """Self attention with a causal mask: Keras's own (None), or one that adds a value."""
    keras.utils.set_random_seed(0)
    given = layers.Input((12, 16), name="given")
    if mask is None:
        x = layers.MultiHeadAttention(2, 8, name="attention")(given, given, use_causal_mask=True)
    else:
        added = np.triu(np.full((1, 12, 12), mask, np.float32), 1)
        q, k, v = (layers.Dense(16)(given) for _ in range(3))
        scores = layers.Dot((2, 2))([q, k]) + added
        x = layers.Dot((2, 1))([layers.Softmax()(scores), v])
    model = keras.Model(given, layers.Dense(5)(given + x))
    return model, RNG.normal(size=(8, 12, 16)).astype(np.float32)


@pytest.mark.parametrize("mask", [None, -1e9, -1e4])
def test_masks_that_stretch_the_range(mask: float | None):
    (sign,) = signs(*attention(mask))
    assert (sign.about, sign.sign) == ("activations", "masked values")
    assert "all values of 1 tensor " in sign.text
    assert "-30 instead of" in sign.text
    if mask is None:
        assert "attention" in sign.text
        assert "(SELECT" in sign.text


@pytest.mark.parametrize("mask", [-30.0, 0.0])
def test_the_cure_is_none_to_warn_of(mask: float):
    assert signs(*attention(mask)) == ()


def joined(scores: int, boxes: float, *, axis: int = -1, **options: Any) -> keras.Model:
    """Boxes and scores in one tensor: (8, 4 + scores), or (4 + scores, 8)."""
    keras.utils.set_random_seed(0)
    given = layers.Input((8, 6), name="given")
    pixels = layers.Dense(4, activation="relu")(given) * boxes
    both = layers.Concatenate()([pixels, layers.Dense(scores, activation="sigmoid", **options)(given)])
    return keras.Model(given, both if axis == -1 else layers.Permute((2, 1))(both))


@pytest.mark.parametrize("axis", [-1, 1])
@pytest.mark.parametrize("io_dtype", ["int8", "float32"])
def test_scores_beside_boxes(axis: int, io_dtype: str):
    data = RNG.normal(size=(16, 8, 6)).astype(np.float32)
    (sign,) = signs(joined(20, 200, axis=axis), data, io_dtype)
    assert (sign.about, sign.sign) == ("activations", "mixed output")
    assert "20 of 24 channels" in sign.text
    assert "(4..23)" in sign.text
    assert "boxes in 0..1" in sign.text


def test_outputs_of_one_range_are_not_suspected():
    data = RNG.normal(size=(16, 8, 6)).astype(np.float32)
    assert signs(joined(20, 0.3), data) == ()
    quiet = joined(20, 0.3, bias_initializer=keras.initializers.Constant(-9))  # classes that nothing shows
    assert signs(quiet, data) == ()
    given = layers.Input((6,), name="given")
    features = keras.Model(given, layers.Dense(40, activation="relu")(layers.Dense(64, activation="relu")(given)) * 30)
    assert signs(features, data[:, 0]) == ()
    assert signs(keras.Model(given, layers.Dense(100, activation="softmax")(given)), data[:, 0]) == ()
