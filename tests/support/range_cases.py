"""Conversions up to where activations are mended, and networks with large values that hardly count."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from converters.frontend.load import load_model
from converters.frontend.tf_converter import measured_twin
from converters.targets import load_target
from converters.tflite.file import File
from converters.tflite.reader import load
from tfmpq.activations.subject import Case
from tfmpq.data.holdout import hold_out
from tfmpq.data.representative import check_samples
from tfmpq.options import Options
from tfmpq.recipe.rules import Recipe


def case_of(model: Any, samples: np.ndarray | Sequence[dict[str, np.ndarray]], **options: Any) -> Case:
    """The conversion of a Keras model."""
    loaded = load_model(model)
    data = hold_out(check_samples(samples, loaded.inputs))
    content, measured = measured_twin(loaded, data.whole.originals)
    stock = File.parse(content)
    chosen = Options(**options)
    parsed = load(loaded.flatbuffer)
    return Case(loaded, parsed, stock, data, chosen, Recipe(), load_target("xnnpack"), {}, measured)


def uneven_net() -> Any:
    """A layer with one channel of 30 times the size of the others, which hardly counts in the next layer."""
    keras.utils.set_random_seed(3)
    layers = keras.layers
    x = keras.Input((12, 12, 4), name="x")
    wide, after = layers.Conv2D(8, 3, name="wide"), layers.Conv2D(8, 3, name="after")
    y = layers.LeakyReLU(negative_slope=0.1, name="leaky")(wide(x))
    y = layers.LeakyReLU(negative_slope=0.1, name="leaky2")(after(y))
    model = keras.Model(x, layers.Conv2D(5, 1, name="head")(y), name="net")
    kernel, bias = wide.get_weights()
    wide.set_weights([kernel * np.array([30.0, *[1.0] * 7], np.float32), bias])
    kernel, bias = after.get_weights()
    after.set_weights([kernel * np.array([1e-3, *[1.0] * 7], np.float32)[:, None], bias])
    return model


def uneven_samples(count: int = 64) -> np.ndarray:
    """(count, 12, 12, 4) for it."""
    return np.random.default_rng(5).normal(size=(count, 12, 12, 4)).astype(np.float32)
