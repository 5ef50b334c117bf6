"""The quantizer of LSQ and LG-LSQ: a symmetric grid with a learned step a row, a layer, or an input."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from math import prod, sqrt
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from converters.points import MultipointWeight, Point
from tfmpq.simulation.points import channel_rows
from tfmpq.simulation.source import InputCodes
from tfmpq.training.quantizer import Quantizer
from tfmpq.training.surrogate import Surrogate, quantize

_SMALLEST = 2.0**-20  # of the step it starts from; no step may become zero or negative
_DEAD = 2.0**-20  # step of a row of zeros


class _AtLeast(keras.constraints.Constraint):
    def __init__(self, smallest: float) -> None:
        self.smallest = smallest

    def __call__(self, value: Any) -> Any:
        return keras.ops.maximum(value, self.smallest)


@keras.saving.register_keras_serializable(package="tfmpq")
class LearnedStep(Quantizer):
    """``s * round(clip(v / s))`` with a learned step s; a weight has codes +-(2^(b-1) - 1).

    The variable is the ratio of the step to the one it starts from, ``2 mean|v| / sqrt(largest code)``, so that
    optimizers which make steps of one size for all variables (Adam) change large and small steps alike; its gradient is
    that of the step over the step at the start, so that plain gradient descent makes LSQ's own updates.

    Attributes:
        bits: 2..8.
        signed: whether codes lie on both sides of 0; without, they are 0..2^b - 1.
        per_channel: whether every row of a weight has a step of its own.
        learn: whether steps are learned, or stay what they are at the start.
        surrogate: see :class:`tfmpq.training.surrogate.Surrogate`.
    """

    def __init__(
        self,
        bits: int,
        *,
        signed: bool = True,
        per_channel: bool = True,
        learn: bool = True,
        surrogate: Surrogate | Mapping[str, Any] = Surrogate(),  # noqa: B008 (frozen)
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.bits = bits
        self.signed = signed
        self.per_channel = per_channel
        self.learn = learn
        self.surrogate = surrogate if isinstance(surrogate, Surrogate) else Surrogate(**surrogate)

    @property
    def high(self) -> int:
        """The largest code."""
        return 2 ** (self.bits - 1) - 1 if self.signed else 2**self.bits - 1

    @property
    def low(self) -> int:
        """The smallest code."""
        return -self.high if self.signed else 0

    def build(self, input_shape: Sequence[int | None]) -> None:
        """Makes the step, for a weight of this shape or any input."""
        self._step_shape = self._steps_for(input_shape)
        count = (prod(self._step_shape),) if self._step_shape else ()
        self.first = self.add_weight(shape=count, initializer="ones", trainable=False, name="first")
        self.ratio = self.add_weight(
            shape=count, initializer="ones", trainable=self.learn, constraint=_AtLeast(_SMALLEST), name="ratio"
        )
        self.sharpness = self.add_weight(shape=(), initializer="ones", trainable=False, name="sharpness")
        self.built = True

    def _steps_for(self, shape: Sequence[int | None]) -> list[int]:
        if not (self.channel_axes and self.per_channel):
            return []
        axes = [axis % len(shape) for axis in self.channel_axes]
        return [int(size or 1) if axis in axes else 1 for axis, size in enumerate(shape)]

    def start(self, weight: np.ndarray) -> None:
        """Sets the steps for a float weight."""
        magnitudes = np.abs(channel_rows(weight, self.channel_axes).astype(np.float64))
        mean = magnitudes.mean(axis=1) if self._step_shape else magnitudes.mean()
        steps = 2 * mean / sqrt(self.high)
        self.first.assign(np.where(steps > 0, steps, _DEAD))
        self.ratio.assign(np.ones(np.shape(steps)))

    def start_at(self, mean_magnitude: float) -> None:
        """Sets the step for inputs of this mean magnitude."""
        self.first.assign(2 * mean_magnitude / sqrt(self.high) or _DEAD)
        self.ratio.assign(1.0)

    def call(self, values: Any, training: bool | None = None) -> Any:
        """The quantized values."""
        values = tf.cast(values, tf.float32)
        if self._step_shape:
            count: Any = prod(values.shape) // prod(self._step_shape)
        elif self.channel_axes:
            count = prod(values.shape)
        else:
            count = tf.size(values) // tf.maximum(tf.shape(values)[0], 1)
        first = tf.convert_to_tensor(self.first)
        step = first * _scaled_gradient(tf.convert_to_tensor(self.ratio), first)
        return quantize(
            values,
            tf.reshape(step, self._step_shape),
            low=self.low,
            high=self.high,
            surrogate=self.surrogate,
            sharpness=tf.convert_to_tensor(self.sharpness),
            count=count,
            noise=self.noise(values, training),
        )

    def steps(self) -> np.ndarray:
        """The steps: float32 (C,), or () where all share one."""
        return np.asarray(self.first, np.float32) * np.asarray(self.ratio, np.float32)

    def points(self, weight: np.ndarray) -> MultipointWeight:
        """One point a row."""
        rows = self.rows(weight).astype(np.float32)
        steps = np.broadcast_to(self.steps(), len(rows)).astype(np.float32)
        codes = np.rint(np.clip(rows / steps[:, None], self.low, self.high)).astype(np.int8)
        return MultipointWeight((Point(codes, steps),), np.ones(len(rows), np.int64), self.bits)

    def codes(self) -> InputCodes:
        """What an input is quantized to."""
        return InputCodes(float(self.steps()), self.low, self.high)

    def get_config(self) -> dict[str, Any]:
        """Everything but the variables."""
        own = {
            "bits": self.bits,
            "signed": self.signed,
            "per_channel": self.per_channel,
            "learn": self.learn,
            "surrogate": asdict(self.surrogate),
        }
        return {**super().get_config(), **own}


def _scaled_gradient(ratio: Any, first: Any) -> Any:
    """The ratio, whose gradient is divided by the square of ``first``: see :class:`LearnedStep`."""

    @tf.custom_gradient
    def function(value: Any) -> Any:
        return tf.identity(value), lambda upstream: upstream / (first * first)

    return function(ratio)
