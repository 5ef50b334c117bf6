"""Small untrained networks with every kind of layer, built with Keras from fixed seeds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

SHAPE = (12, 12, 4)
Samples = Callable[[], Iterator[dict[str, np.ndarray]]]


def _settle(model: Any) -> Any:
    """Gives weights and normalizations values that no initializer would: outliers, dead rows, negative factors."""
    rng = np.random.default_rng(7)
    for variable in model.weights:
        shape, name = tuple(variable.shape), variable.path if hasattr(variable, "path") else variable.name
        values = rng.standard_t(4, shape) * 0.3 / max(np.sqrt(np.prod(shape[:-1])), 1.0)
        if "variance" in name:
            values = rng.uniform(0.5, 2.0, shape)
        elif "gamma" in name:
            values = rng.uniform(0.5, 1.5, shape) * rng.choice([-1, 1], shape)
        elif len(shape) == 4 and shape[-1] > 8:
            values[..., -1] = 0.0  # a pruned row
        variable.assign(values.astype(np.float32))
    return model


def residual(keras: Any, *, batch_norm: bool = True) -> Any:
    """A stem, an inverted bottleneck and a full convolution on a residual trunk, and a classifier."""
    layers = keras.layers

    def conv(x: Any, rows: int, kernel: int, name: str, activation: str | None = None) -> Any:
        x = layers.Conv2D(rows, kernel, padding="same", use_bias=not batch_norm, name=name)(x)
        x = layers.BatchNormalization(name=f"{name}_bn")(x) if batch_norm else x
        return layers.Activation(activation, name=f"{name}_act")(x) if activation else x

    image = layers.Input(SHAPE, name="image")
    x = trunk = conv(image, 16, 3, "stem", "relu6")
    x = conv(x, 32, 1, "expand", "relu6")
    x = layers.DepthwiseConv2D(3, padding="same", name="dw")(x)
    x = layers.Activation("relu", name="dw_act")(x)
    x = conv(x, 16, 1, "project")
    x = trunk = layers.Add(name="sum_1")([x, trunk])
    x = layers.Add(name="sum_2")([conv(x, 16, 3, "conv", "relu"), trunk])
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    return _settle(keras.Model(image, layers.Dense(10, activation="softmax", name="classifier")(x), name="residual"))


def pointwise(keras: Any) -> Any:
    """Chains of 1x1 convolutions and dense layers, all of which can be stored as INT4."""
    layers = keras.layers
    image = layers.Input(SHAPE, name="image")
    x = layers.Conv2D(32, 1, activation="relu", name="first")(image)
    x = layers.Conv2D(48, 1, activation="relu", name="second")(x)
    x = layers.Conv2D(32, 1, activation="relu6", name="third")(x)
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    x = layers.Dense(40, activation="relu", name="hidden")(x)
    return _settle(keras.Model(image, layers.Dense(6, name="head")(x), name="pointwise"))


def shapes(keras: Any) -> Any:
    """Grouped, strided, dilated and transposed convolutions, a depth multiplier, a concatenation, two outputs."""
    layers = keras.layers
    image = layers.Input(SHAPE, name="image")
    x = layers.Conv2D(16, 3, strides=2, padding="same", activation="relu", name="strided")(image)
    a = layers.Conv2D(16, 3, padding="same", groups=4, activation="relu", name="grouped")(x)
    b = layers.Conv2D(8, 3, dilation_rate=2, padding="same", activation="relu", name="dilated")(x)
    x = layers.Concatenate(name="joined")([a, b])
    x = layers.DepthwiseConv2D(3, depth_multiplier=2, padding="same", activation="relu", name="multiplied")(x)
    up = layers.Conv2DTranspose(8, 3, strides=2, padding="same", activation="relu", name="up")(x)
    mask = layers.Conv2D(2, 1, name="mask")(up)
    flat = layers.Dense(5, name="flat")(layers.Flatten(name="flatten")(x))
    return _settle(keras.Model(image, [mask, flat], name="shapes"))


def two_inputs(keras: Any) -> Any:
    """A layer that is used twice, dense layers on vectors and on sequences."""
    layers = keras.layers
    first, second = layers.Input((6, 8), name="first"), layers.Input((6, 8), name="second")
    shared = layers.Dense(16, activation="relu", name="shared")
    x = layers.Add(name="both")([shared(first), shared(second)])
    x = layers.Dense(16, activation="relu", name="sequence")(x)
    x = layers.Flatten(name="flatten")(x)
    return _settle(keras.Model([first, second], layers.Dense(4, name="head")(x), name="two_inputs"))


def images(count: int = 12) -> Samples:
    """Random smooth images for the networks that take one."""
    return _samples(count, image=SHAPE)


def vectors(count: int = 12) -> Samples:
    """Random sequences for :func:`two_inputs`."""
    return _samples(count, first=(6, 8), second=(6, 8))


def _samples(count: int, **inputs: tuple[int, ...]) -> Samples:
    def samples() -> Iterator[dict[str, np.ndarray]]:
        for number in range(count):
            rng = np.random.default_rng(number)
            yield {name: rng.uniform(-1, 1, (1, *shape)).astype(np.float32) for name, shape in inputs.items()}

    return samples
