"""Scales that are learned relative to what they start from."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

_SMALLEST = 2.0**-20  # of the scale at the start; none may become zero or negative
_DEAD = 2.0**-20  # scale where there is nothing but zeros


class LearnedScale:
    """A positive variable of a layer, or one a row.

    What is trained is the ratio to the scale at the start, so that optimizers which make steps of one size for all
    variables (Adam) change large and small scales alike. The ratio's gradient is that of the scale divided by the scale
    at the start, so that plain gradient descent makes the very updates it would make to the scale itself.

    Args:
        owner: the layer that gets the variables.
        name: of the scale.
        count: how many; None: a single one, of rank 0.
        learn: whether it is trained.
    """

    def __init__(self, owner: keras.layers.Layer, name: str, count: int | None = None, *, learn: bool = True) -> None:
        shape = () if count is None else (count,)
        self._first: Any = owner.add_weight(shape=shape, initializer="ones", trainable=False, name=f"first_{name}")
        self._ratio: Any = owner.add_weight(
            shape=shape, initializer="ones", trainable=learn, constraint=_AtLeast(_SMALLEST), name=f"{name}_ratio"
        )

    def start(self, scale: Any) -> None:
        """Sets it; zeros become a small positive scale."""
        values = np.asarray(scale, np.float64)
        self._first.assign(np.where(values > 0, values, _DEAD))
        self._ratio.assign(np.ones(values.shape))

    def tensor(self) -> Any:
        """Its value in a TensorFlow graph."""
        first = tf.convert_to_tensor(self._first)
        return first * scaled_gradient(tf.convert_to_tensor(self._ratio), first)

    def value(self) -> np.ndarray:
        """Its value, float32: the same product."""
        return np.asarray(self._first, np.float32) * np.asarray(self._ratio, np.float32)


class _AtLeast(keras.constraints.Constraint):
    def __init__(self, smallest: float) -> None:
        self.smallest = smallest

    def __call__(self, value: Any) -> Any:
        return keras.ops.maximum(value, self.smallest)


def scaled_gradient(ratio: Any, first: Any) -> Any:
    """The ratio, with such a gradient that plain gradient descent moves ``first * ratio`` as it would move that."""

    @tf.custom_gradient
    def function(value: Any) -> Any:
        return tf.identity(value), lambda upstream: upstream / (first * first)

    return function(ratio)
