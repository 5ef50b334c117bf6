"""The quantizer of post-training plans: rows of radix points, as integers of one grid that are cut into digits."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from converters.points import MultipointWeight, Point, grid_limits, radix, split_digits
from tfmpq.training.quantizer import Quantizer
from tfmpq.training.scales import LearnedScale

_INSIDE = 0.45  # steps that a float weight may lie from its code, so that no other rounding gives another code


@keras.saving.register_keras_serializable(package="tfmpq")
class Digits(Quantizer):
    """``s * round(clip(w / s))`` with a learned step a row, on the grid of all points of the row.

    A row of n radix points is one uniform quantizer, whose integers are cut into n digits for the file. Low-bit codes
    reach one further down than up, so rows are rounded with the sign that they have in the file.

    Attributes:
        bits: of a point, 2..8.
        counts: points of every row.
        lowest: whether single points use the lowest code, -2^(bits - 1).
    """

    def __init__(self, bits: int, *, counts: Sequence[int], lowest: bool = True, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.bits = bits
        self.counts = tuple(int(count) for count in counts)
        self.lowest = lowest
        self._begin: tuple[np.ndarray, np.ndarray] | None = None

    def limits(self) -> tuple[np.ndarray, np.ndarray]:
        """Smallest and largest integer of every row, float32 (C,)."""
        pairs = {n: grid_limits(self.bits, n) for n in set(self.counts)}
        if 1 in pairs and not self.lowest:
            pairs[1] = (max(pairs[1][0], -pairs[1][1]), pairs[1][1])
        low, high = np.array([pairs[n] for n in self.counts], np.float32).T
        return low, high

    def build(self, input_shape: Sequence[int | None]) -> None:
        """Makes steps and signs, for a weight of this shape."""
        axes = [axis % len(input_shape) for axis in self.channel_axes]
        self._shape = [int(size or 1) if axis in axes else 1 for axis, size in enumerate(input_shape)]
        rows = prod(self._shape)
        self.step = LearnedScale(self, "step", rows)
        self.signs: Any = self.add_weight(shape=(rows,), initializer="ones", trainable=False, name="signs")
        super().build(input_shape)

    def start_at(self, steps: np.ndarray, signs: np.ndarray) -> None:
        """Says what :meth:`start` is to set, in place of steps that reach the largest weights.

        Args:
            steps: (C,), > 0.
            signs: (C,), 1 or -1: of what conversion multiplies into each row.
        """
        self._begin = steps, signs

    def start(self, weight: np.ndarray) -> None:
        """Sets steps and signs for a float weight."""
        rows, (low, high) = self.rows(weight).astype(np.float64), self.limits()
        widest = np.maximum(rows.max(axis=1) / high, rows.min(axis=1) / low)
        steps, signs = self._begin or (widest, np.ones(len(rows)))
        self.step.start(steps)
        self.signs.assign(signs)

    def call(self, values: Any, training: bool | None = None) -> Any:
        """The quantized weight; gradients pass straight through the rounding, within the limits."""
        steps = tf.reshape(self.step.tensor(), self._shape)
        signs = tf.reshape(tf.convert_to_tensor(self.signs), self._shape)
        low, high = (tf.constant(limit.reshape(self._shape)) for limit in self.limits())
        values = tf.cast(values, tf.float32)
        u: Any = tf.minimum(tf.maximum(signs * values / steps, low), high)
        noise = self.noise(values, training)
        rounded: Any = tf.round(u) if noise is None else tf.minimum(tf.floor(u + noise), high)
        # The integer itself, not u + (integer - u), which may differ from it in the last bit.
        return signs * (_straight_through(u, rounded) * steps)

    def integers(self, weight: np.ndarray) -> np.ndarray:
        """The integers of the grids, (C, d), of the rows as they are signed in the file."""
        low, high = (limit[:, None] for limit in self.limits())
        return np.rint(np.minimum(np.maximum(self._scaled(weight), low), high)).astype(np.int64)

    def settled(self, weight: np.ndarray, integers: np.ndarray | None = None) -> np.ndarray:
        """Rows (C, d) of the weight, moved away from where rounding could fall either way.

        Args:
            weight: the layer's float weight.
            integers: (C, d), to be rounded to; None: those that it is rounded to now.
        """
        kept, scaled = self.integers(weight) if integers is None else integers, self._scaled(weight)
        low, high = (limit[:, None] for limit in self.limits())
        moved = np.clip(kept + np.clip(scaled - kept, -_INSIDE, _INSIDE), low, high)
        return (self._signs * moved * self.step.value()[:, None]).astype(np.float32)

    def points(self, weight: np.ndarray) -> MultipointWeight:
        """The digits, of the rows as they are signed in the file; see :meth:`row_signs`."""
        integers, counts = self.integers(weight), np.array(self.counts, np.int64)
        most, steps = int(counts.max()), self.step.value().astype(np.float32)
        codes = np.zeros((most, *integers.shape), np.int8)
        scales = np.tile(steps, (most, 1))
        for n in set(self.counts):
            rows = counts == n
            ratio = radix(self.bits, n)
            for i, digit in enumerate(split_digits(integers[rows], bits=self.bits, points=n)):
                codes[i, rows] = digit
                scales[i, rows] = steps[rows] * np.float32(ratio ** (n - 1 - i))
        return MultipointWeight(tuple(Point(codes[i], scales[i]) for i in range(most)), counts, self.bits)

    def row_signs(self) -> np.ndarray:
        """Signs (C,) that turn rows of the weight into those that :meth:`points` are of."""
        return np.asarray(self.signs)

    @property
    def _signs(self) -> np.ndarray:
        return self.row_signs()[:, None]

    def _scaled(self, weight: np.ndarray) -> np.ndarray:
        return self._signs * self.rows(weight).astype(np.float32) / self.step.value()[:, None]

    def get_config(self) -> dict[str, Any]:
        """Everything but the variables."""
        own = {"bits": self.bits, "counts": list(self.counts), "lowest": self.lowest}
        return {**super().get_config(), **own}


def _straight_through(values: Any, result: Any) -> Any:
    """``result``, with the gradient of ``values``."""

    @tf.custom_gradient
    def function(values: Any) -> Any:
        return tf.stop_gradient(result), lambda upstream: upstream

    return function(values)
