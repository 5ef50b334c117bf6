"""Networks with a few values far beyond all others, everywhere: no scale of channels and no clip can mend that."""

from __future__ import annotations

import functools
from typing import Any

import keras
import numpy as np

from converters.frontend.float_model import FloatModel
from converters.frontend.load import load_model
from converters.frontend.tf_converter import int8_twin
from converters.targets import load_target
from converters.tflite.file import File
from converters.tflite.reader import load
from tfmpq.activations.subject import Case
from tfmpq.data.holdout import hold_out
from tfmpq.data.representative import check_samples
from tfmpq.options import Options
from tfmpq.recipe.rules import Recipe, Rule

SHAPE = (8, 8, 8)


@functools.cache
def residual() -> Any:
    """A stream of sums into which one layer puts rare large values; capped layers read it."""
    keras.utils.set_random_seed(0)
    layers = keras.layers
    image = keras.Input(SHAPE, name="image")
    rare = layers.Conv2D(16, 1, activation="relu", name="rare")
    x = layers.Add(name="sum")([rare(image), layers.Conv2D(16, 3, padding="same", name="usual")(image)])
    for block in range(2):
        y = layers.Conv2D(16, 1, activation="relu6", name=f"in_{block}")(x)
        y = layers.Conv2D(16, 3, padding="same", name=f"out_{block}")(y)
        x = layers.Add(name=f"sum_{block}")([x, y])
    x = layers.GlobalAveragePooling2D(name="pool")(layers.Conv2D(16, 1, activation="relu6", name="head")(x))
    model = keras.Model(image, layers.Dense(10, name="scores")(x))
    kernel, bias = rare.get_weights()
    rare.set_weights(
        [60 * kernel / np.linalg.norm(kernel, axis=2, keepdims=True), bias - 60 * 2.8]
    )  # 1 in 400, up to 66
    return model


@functools.cache
def capped() -> Any:
    """Layers with caps behind the input, for signals with spikes."""
    keras.utils.set_random_seed(0)
    layers = keras.layers
    signal = keras.Input(SHAPE, name="signal")
    x = layers.Conv2D(16, 3, padding="same", activation="relu6", name="first")(signal)
    x = layers.Conv2D(16, 3, padding="same", activation="relu6", name="second")(x)
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    return keras.Model(signal, layers.Dense(10, name="scores")(x))


def noise(count: int = 64) -> np.ndarray:
    """Normal samples."""
    return np.random.default_rng(0).normal(size=(count, *SHAPE)).astype(np.float32)


def spikes(count: int = 64) -> np.ndarray:
    """Normal samples with a spike at one position of a hundred."""
    far = np.where(np.random.default_rng(1).random((count, *SHAPE[:2], 1)) < 0.01, 60, 1)
    return (noise(count) * far).astype(np.float32)


@functools.cache
def _converted(name: str, io_dtype: str) -> tuple[FloatModel, File]:
    loaded = load_model({"residual": residual, "capped": capped}[name]())
    samples = check_samples({"residual": noise, "capped": spikes}[name](), loaded.inputs)
    return loaded, File.parse(int8_twin(loaded, samples.originals, io_dtype=io_dtype))


def case_of(name: str, *rules: Rule, **options: Any) -> Case:
    """The conversion of a network, as its steps for activations find it."""
    chosen = Options(**options)
    loaded, stock = _converted(name, chosen.io_dtype)
    data = hold_out(check_samples({"residual": noise, "capped": spikes}[name](), loaded.inputs))
    model = load(loaded.flatbuffer)
    return Case(loaded, model, stock, data, chosen, Recipe(rules), load_target(chosen.target))
