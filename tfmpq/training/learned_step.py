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
from tfmpq.keras.int8_values import UP
from tfmpq.simulation.source import InputCodes
from tfmpq.training.quantizer import Quantizer
from tfmpq.training.scales import LearnedScale
from tfmpq.training.surrogate import Surrogate, quantize

_RATIOS = np.geomspace(1 / 256, 1, 83)  # of the step that reaches the largest value


@keras.saving.register_keras_serializable(package="tfmpq")
class LearnedStep(Quantizer):
    """``s * round(clip(v / s))`` with a learned step s; a weight has codes +-(2^(b-1) - 1), or one more below.

    The step of a weight starts at ``2 mean|v| / sqrt(largest code)`` (LSQ), but no larger than what reaches the largest
    value: from 5 bits on most codes would stay unused. That of an input starts where samples have the least squared
    error: LSQ's rule takes values for normally distributed, and clips most of what is 0 nearly everywhere.

    Attributes:
        bits: 2..8.
        signed: whether codes lie on both sides of 0; without, they are 0..2^b - 1.
        per_channel: whether every row of a weight has a step of its own.
        full_range: whether codes of a weight reach down to -2^(b-1), as in two's complement and in LSQ: at 2 bits a
            fourth level beside -1, 0 and 1. Rows are then rounded with the sign that they have in the file, ``signs``.
        learn: whether steps are learned, or stay what they are at the start.
        least_error: whether the step of an input starts at the least squared error, or by LSQ's rule too.
        surrogate: see :class:`tfmpq.training.surrogate.Surrogate`.
    """

    def __init__(
        self,
        bits: int,
        *,
        signed: bool = True,
        per_channel: bool = True,
        full_range: bool = False,
        learn: bool = True,
        least_error: bool = True,
        surrogate: Surrogate | Mapping[str, Any] = Surrogate(),  # noqa: B008 (frozen)
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.bits = bits
        self.signed = signed
        self.per_channel = per_channel
        self.full_range = full_range
        self.learn = learn
        self.least_error = least_error
        self.surrogate = surrogate if isinstance(surrogate, Surrogate) else Surrogate(**surrogate)

    @property
    def high(self) -> int:
        """The largest code."""
        return 2 ** (self.bits - 1) - 1 if self.signed else 2**self.bits - 1

    @property
    def low(self) -> int:
        """The smallest code."""
        return -self.high - self.full_range if self.signed else 0

    def build(self, input_shape: Sequence[int | None]) -> None:
        """Makes the step, for a weight of this shape or any input."""
        self.row_count = prod(self.rows_shape(input_shape)) if self.channel_axes else 1
        self._step_shape = self.rows_shape(input_shape) if self.channel_axes and self.per_channel else []
        count = prod(self._step_shape) if self._step_shape else None
        self.step = LearnedScale(self, "step", count, learn=self.learn)
        self.sharpness = self.add_weight(shape=(), initializer="ones", trainable=False, name="sharpness")
        if self.full_range:
            self._row_shape = self.rows_shape(input_shape)
            rows = (prod(self._row_shape),)
            self.signs: Any = self.add_weight(shape=rows, initializer="ones", trainable=False, name="signs")
        super().build(input_shape)

    def start(self, weight: np.ndarray) -> None:
        """Sets the steps for a float weight."""
        magnitudes = np.abs(self.rows(weight).astype(np.float64))
        axis = 1 if self._step_shape else None
        self._start(magnitudes.mean(axis=axis), magnitudes.max(axis=axis))

    def start_on(self, steps: np.ndarray) -> None:
        """Sets steps (C,) of a weight whose rows are codes of one point; below 0 where the file turns a row around."""
        self.step.start(np.abs(steps))  # codes of `full_range` are rounded as they are in the file anyway

    def start_at(self, values: np.ndarray) -> None:
        """Sets the step for inputs like these values (N,)."""
        if self.least_error:
            self.step.start(least_error_step(values, self.low, self.high))
        else:
            magnitudes = np.abs(values.astype(np.float64))
            self._start(magnitudes.sum() / max(values.size, 1), magnitudes.max(initial=0.0))

    def _start(self, mean: Any, largest: Any) -> None:
        self.step.start(np.minimum(2 * np.asarray(mean) / sqrt(self.high), np.asarray(largest) / self.high))

    def call(self, values: Any, training: bool | None = None) -> Any:
        """The quantized values."""
        values = tf.cast(values, tf.float32)
        signs: Any = tf.reshape(tf.convert_to_tensor(self.signs), self._row_shape) if self.full_range else None
        if signs is not None:
            values = signs * values
        if self._step_shape:
            count: Any = prod(values.shape) // prod(self._step_shape)
        elif self.channel_axes:
            count = prod(values.shape)
        else:
            count = tf.size(values) // tf.maximum(tf.shape(values)[0], 1)
        noise = self.noise(values, training)
        if noise is None and not self.channel_axes:
            noise = UP  # of activations
        result = quantize(
            values,
            tf.reshape(self.step.tensor(), self._step_shape),
            low=self.low,
            high=self.high,
            surrogate=self.surrogate,
            sharpness=tf.convert_to_tensor(self.sharpness),
            count=count,
            noise=noise,
        )
        return result if signs is None else signs * result

    def points(self, weight: np.ndarray) -> MultipointWeight:
        """One point a row; with ``full_range`` of the rows as they are signed in the file."""
        rows = self.rows(weight).astype(np.float32)
        if self.full_range:
            rows = rows * np.asarray(self.signs)[:, None]
        steps = np.broadcast_to(self.step.value(), len(rows)).astype(np.float32)
        codes = np.rint(np.clip(rows / steps[:, None], self.low, self.high)).astype(np.int8)
        return MultipointWeight((Point(codes, steps),), np.ones(len(rows), np.int64), self.bits)

    def row_signs(self) -> np.ndarray | None:
        """Signs (C,) that turn rows of the weight into those that :meth:`points` are of; None: all 1."""
        return np.asarray(self.signs) if self.full_range else None

    def row_steps(self) -> Any:
        """The step of every row, float32 (C,)."""
        return tf.broadcast_to(self.step.tensor(), [self.row_count])

    def int8_scale(self) -> Any:
        """Scale of the int8 tensor that holds a quantized input, see :class:`tfmpq.simulation.source.InputCodes`."""
        return self.step.tensor()

    def codes(self) -> InputCodes:
        """What an input is quantized to."""
        return InputCodes(float(self.step.value()), self.low, self.high)

    def get_config(self) -> dict[str, Any]:
        """Everything but the variables."""
        own = {
            "bits": self.bits,
            "signed": self.signed,
            "per_channel": self.per_channel,
            "full_range": self.full_range,
            "learn": self.learn,
            "least_error": self.least_error,
            "surrogate": asdict(self.surrogate),
        }
        return {**super().get_config(), **own}


def least_error_step(values: np.ndarray, low: int, high: int) -> float:
    """The step at which rounding to codes low..high has the least squared error.

    Args:
        values: float (N,).
        low, high: limits of the codes; ``high`` is the larger magnitude.

    Returns:
        The best of steps that are 7 % apart; 0 where all values are.
    """
    largest = float(np.abs(values).max(initial=0.0))
    tried = largest / high * _RATIOS
    errors = [float(np.square(values - s * np.rint(np.clip(values / s, low, high))).sum()) for s in tried if s > 0]
    return float(tried[int(np.argmin(errors))]) if errors else 0.0
