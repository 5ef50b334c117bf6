"""A network whose channels differ, which int8 activations lose the small ones of, and images for it."""

from __future__ import annotations

from functools import cache

import keras
import numpy as np
from keras import layers

SIDE, CHANNELS = 12, 16


@cache
def uneven(activation: str = "leaky_relu") -> keras.Model:
    """Two convolutions whose channels differ by a factor of up to 100, taken back behind them."""
    keras.utils.set_random_seed(0)
    x = layers.Input((SIDE, SIDE, 3))
    h = layers.Conv2D(CHANNELS, 3, activation=activation, name="wide")(x)
    h = layers.DepthwiseConv2D(3, name="deep")(h)
    h = layers.Conv2D(CHANNELS, 1, activation=activation, name="next")(layers.LeakyReLU()(h))
    model = keras.Model(x, layers.Dense(5, name="last")(layers.GlobalAveragePooling2D()(h)))
    size = np.logspace(-1.5, 0.5, CHANNELS).astype("float32")
    kernel, bias = model.get_layer("wide").get_weights()
    model.get_layer("wide").set_weights([kernel * size, bias])
    kernel, bias = model.get_layer("next").get_weights()
    model.get_layer("next").set_weights([kernel / size[:, None], bias])
    return model


def images(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, SIDE, SIDE, 3)).astype("float32")
