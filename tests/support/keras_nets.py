"""Small Keras 3 networks with what makes plugins stumble: normalizations of both signs, shared and nested layers."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import layers

from converters.frontend.keras_checks import layers as sublayers


def separable() -> Any:
    """Convolution, depthwise and 1x1 convolution, each with batch normalization; a residual sum; a dense layer."""
    image = keras.Input((8, 8, 3), name="image")
    x = layers.Conv2D(8, 3, padding="same", use_bias=False, name="stem")(image)
    x = layers.ReLU(6.0, name="stem_relu")(layers.BatchNormalization(name="stem_bn")(x))
    y = layers.DepthwiseConv2D(3, padding="same", name="depthwise")(x)
    y = layers.ReLU(name="depthwise_relu")(layers.BatchNormalization(name="depthwise_bn")(y))
    y = layers.BatchNormalization(name="project_bn")(layers.Conv2D(8, 1, name="project")(y))
    x = layers.Add(name="add")([x, y])
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    return _randomized(keras.Model(image, layers.Dense(4, name="classifier")(x), name="separable"))


def shared() -> Any:
    """A Sequential block used twice, with a normalization in it, and a convolution used twice without."""
    block = keras.Sequential(
        [
            keras.Input((8, 8, 4)),
            layers.Conv2D(4, 3, padding="same", name="conv"),
            layers.BatchNormalization(name="bn"),
            layers.ReLU(name="relu"),
        ],
        name="block",
    )
    twice = layers.Conv2D(4, 1, activation="relu", name="twice")
    image = keras.Input((8, 8, 4), name="image")
    x = twice(block(twice(block(image))))
    x = layers.Flatten(name="flat")(x)
    return _randomized(keras.Model(image, layers.Dense(3, activation="softmax", name="scores")(x), name="shared"))


def sequence() -> Any:
    """A Sequential model of 1-D convolutions."""
    model = keras.Sequential(
        [
            keras.Input((16, 4), name="signal"),
            layers.Conv1D(8, 3, padding="same", name="conv"),
            layers.BatchNormalization(name="bn"),
            layers.ReLU(name="relu"),
            layers.DepthwiseConv1D(3, padding="same", name="depthwise"),
            layers.Conv1DTranspose(4, 2, strides=2, name="up"),
            layers.Dense(3, name="each"),
        ],
        name="sequence",
    )
    return _randomized(model)


def transposed() -> Any:
    """A transposed convolution with normalization, a depthwise one with multiplier, a grouped one."""
    image = keras.Input((4, 4, 4), name="image")
    x = layers.Conv2DTranspose(6, 2, strides=2, name="up")(image)
    x = layers.ReLU(name="up_relu")(layers.BatchNormalization(name="up_bn")(x))
    x = layers.DepthwiseConv2D(3, depth_multiplier=2, name="depthwise")(x)
    x = layers.Conv2D(8, 3, groups=2, name="grouped")(x)
    return _randomized(keras.Model(image, x, name="transposed"))


NETS: dict[str, Callable[[], Any]] = {
    "separable": separable,
    "shared": shared,
    "sequence": sequence,
    "transposed": transposed,
}


def data(model: Any, count: int = 32) -> np.ndarray:
    """Inputs for a model, values in -1..1."""
    shape = (count, *model.inputs[0].shape[1:])
    return np.random.default_rng(1).uniform(-1, 1, shape).astype(np.float32)


def reloaded(model: Any, path: Path) -> Any:
    """The model as it comes back from a file."""
    with warnings.catch_warnings():  # Keras's own use of NumPy
        warnings.simplefilter("ignore", DeprecationWarning)
        model.save(path)
    return loaded(path)


def loaded(path: Path) -> Any:
    """A model from a file."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return keras.models.load_model(path)


def _randomized(model: Any) -> Any:
    """Random weights; half of the normalizations' scales are negative."""
    generator = np.random.default_rng(0)
    for _, layer in sublayers(model):
        if hasattr(layer, "gamma"):
            shape = layer.gamma.shape
            layer.gamma.assign(generator.uniform(0.5, 1.5, shape) * generator.choice([-1, 1], shape))
            layer.beta.assign(generator.normal(0, 0.2, shape))
            layer.moving_mean.assign(generator.normal(0, 0.2, shape))
            layer.moving_variance.assign(generator.uniform(0.5, 2, shape))
        elif hasattr(layer, "kernel"):
            layer.kernel.assign(generator.normal(0, 0.3, layer.kernel.shape))
    return model
