"""The quantizer of differentiable quantization: levels that are learned, for weights that stay as they are."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from converters.points import MultipointWeight, Point, grid_limits, radix, split_digits
from tfmpq.training.quantizer import Quantizer
from tfmpq.training.scales import scaled_gradient

_LLOYD = 20  # rounds of Lloyd's algorithm: later ones hardly move levels
_DEAD = 2.0**-20  # scale where all levels are zero


def pick_levels(values: Any, levels: Any, written: Any, *, unit: Any = 1.0, scales: Any = 1.0) -> Any:
    """Each value's nearest level, as it is written: ``scales * level`` to within rounding.

    Source: Polino et al., ICLR 2018, section 4. The gradient of a level is the sum of the gradients of the values that
    are assigned to it, ``dL/dp_j = sum_{i assigned to j} s_i dL/dw_i``; that of values is zero.

    Args:
        values: float tensor, in units of ``scales``.
        levels: (L,), sorted.
        written: (L,), what stands for the levels in units of ``unit``.
        unit, scales: they broadcast to the values.
    """

    @tf.custom_gradient
    def function(values: Any, levels: Any) -> Any:
        middles = (levels[1:] + levels[:-1]) / 2
        assigned = tf.searchsorted(middles, tf.reshape(values, [-1]), side="right")

        def gradient(upstream: Any) -> tuple[Any, Any]:
            of_values = tf.reshape(upstream * scales, [-1])
            of_levels = tf.math.unsorted_segment_sum(of_values, assigned, levels.shape[0])
            return tf.zeros_like(values), of_levels

        return tf.reshape(tf.gather(tf.stop_gradient(written), assigned), tf.shape(values)) * unit, gradient

    return function(values, levels)


@keras.saving.register_keras_serializable(package="tfmpq")
class LearnedLevels(Quantizer):
    """Weights become the nearest of 2^bits learned levels of their tensor, times a scale of their row.

    The paper scales buckets of 256 weights; here a bucket is a row. Scales stay what they are at the start.
    All levels lie on one grid of as few points as bring the largest of their errors to the tolerance. Training computes
    with what is written of them, too.

    Scales may be negative: levels then stand for a row that is turned around.

    Attributes:
        bits: 2^bits levels, and bits of a point; 2..8.
        most_points: most points of a row, 1..4.
        per_channel: whether rows have scales.
        trains_weight: no; with no gradient but that of a penalty, Adam would take them to 0 at its full rate.
        tolerance: largest error of a level, in units of the largest level; see :func:`least_tolerance`.
    """

    trains_weight = False

    def __init__(
        self, bits: int, *, most_points: int, tolerance: float, per_channel: bool = True, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.bits = bits
        self.most_points = most_points
        self.tolerance = tolerance
        self.per_channel = per_channel

    @property
    def low(self) -> int:
        """The smallest code of a point that levels may start from."""
        return -(2 ** (self.bits - 1))

    @property
    def high(self) -> int:
        """The largest one."""
        return 2 ** (self.bits - 1) - 1

    def build(self, input_shape: Sequence[int | None]) -> None:
        """Makes the levels, and the rows' scales."""
        shape, self._rows_shape = (2**self.bits,), self.rows_shape(input_shape)
        rows = (prod(self._rows_shape),)
        self.scales: Any = self.add_weight(shape=rows, initializer="ones", trainable=False, name="scales")
        self.first: Any = self.add_weight(shape=(), initializer="ones", trainable=False, name="largest_level")
        self.levels: Any = self.add_weight(shape=shape, initializer="zeros", constraint=_Sorted(), name="levels")
        super().build(input_shape)

    def start(self, weight: np.ndarray) -> None:
        """Sets levels and scales for a float weight.

        Levels are quantiles, moved to the means of their weights in turn with the scales, which are moved to the least
        squared error of their row (Lloyd's algorithm).
        """
        rows = self.rows(weight).astype(np.float64)
        scales = np.ones(len(rows))
        if self.per_channel:
            scales = np.sqrt(np.square(rows).mean(axis=1))
            scales[scales == 0] = 1.0
        levels = np.quantile(rows / scales[:, None], (np.arange(2**self.bits) + 0.5) / 2**self.bits)
        for _ in range(_LLOYD):
            levels = _means(rows, scales, levels)
            if self.per_channel:
                chosen = levels[_nearest(rows / scales[:, None], levels)]
                products = (rows * chosen).sum(axis=1)
                fits = products > 0
                scales[fits] = products[fits] / np.square(chosen[fits]).sum(axis=1)
        largest = float(np.abs(levels).max())
        self.scales.assign(scales)
        self.first.assign(largest if largest > 0 else _DEAD)
        self.levels.assign(levels / (largest if largest > 0 else 1.0))

    def start_on(self, steps: np.ndarray) -> None:
        """Sets levels and scales for rows that are codes of one point, see :class:`LearnedStep`."""
        self.scales.assign(steps * -self.low)
        self.first.assign(1.0)
        self.levels.assign(np.arange(self.low, self.high + 1) / -self.low)

    def call(self, values: Any, training: bool | None = None) -> Any:
        """The levels of the weights; with stochastic rounding in training one of the two around a weight."""
        scales = tf.reshape(tf.convert_to_tensor(self.scales), self._rows_shape)
        values, levels = tf.cast(values, tf.float32) / scales, self._levels()
        noise = self.noise(values, training)
        if noise is not None:
            values = _jittered(values, levels, noise)
        integers, step, _ = self._written()
        return pick_levels(values, levels, integers, unit=step * scales, scales=scales)

    def points(self, weight: np.ndarray) -> MultipointWeight:
        """As many points in every row as the levels need."""
        integers, step, needed = self._written()
        scales = np.asarray(self.scales)
        values = tf.constant(weight, tf.float32) / tf.reshape(scales, self._rows_shape)
        assigned = pick_levels(values, self._levels(), integers)
        rows, points = self.rows(np.asarray(assigned)).astype(np.int64), int(needed)
        rows *= np.where(scales < 0, -1, 1)[:, None]
        ratio, last = radix(self.bits, points), np.float32(step) * np.abs(scales)
        digits = split_digits(rows, bits=self.bits, points=points)
        steps = [(last * np.float32(ratio ** (points - 1 - i))).astype(np.float32) for i in range(points)]
        counts = np.full(len(rows), points, np.int64)
        return MultipointWeight(tuple(Point(d, s) for d, s in zip(digits, steps, strict=True)), counts, self.bits)

    def _levels(self) -> Any:
        # What is trained is their ratio to the first largest one, so that Adam moves those of all layers alike.
        first = tf.convert_to_tensor(self.first)
        return scaled_gradient(tf.convert_to_tensor(self.levels), first) * first

    def _written(self) -> tuple[Any, Any, Any]:
        """(integers of the levels, float; the grid's step; points of the grid), of the fewest points that do."""
        levels = tf.stop_gradient(self._levels())
        largest = tf.maximum(tf.reduce_max(tf.abs(levels)), _DEAD)
        grids = [self._grid(levels, largest, points) for points in range(self.most_points, 0, -1)]
        chosen = grids[0][:3]
        for *grid, error in grids[1:]:
            enough = error <= self.tolerance * largest
            chosen = [tf.where(enough, own, former) for own, former in zip(grid, chosen, strict=True)]
        integers, step, points = chosen
        return integers, step, points

    def _grid(self, levels: Any, largest: Any, points: int) -> tuple[Any, Any, Any, Any]:
        step: Any = largest / float(grid_limit(self.bits, points))
        integers: Any = tf.round(levels / step)
        return integers, step, tf.constant(points), tf.reduce_max(tf.abs(integers * step - levels))

    def get_config(self) -> dict[str, Any]:
        """Everything but the variables."""
        own = {
            "bits": self.bits,
            "most_points": self.most_points,
            "tolerance": self.tolerance,
            "per_channel": self.per_channel,
        }
        return {**super().get_config(), **own}


def grid_limit(bits: int, points: int) -> int:
    """The largest integer that a row of ``points`` points holds with either sign."""
    return int(min(map(abs, grid_limits(bits, points))))


def least_tolerance(bits: int, points: int) -> float:
    """Largest error of any level on a grid of ``points`` points, in units of the largest level: half a step."""
    return 0.5 / grid_limit(bits, points)


def _nearest(values: np.ndarray, levels: np.ndarray) -> np.ndarray:
    return np.searchsorted((levels[1:] + levels[:-1]) / 2, values, side="right")


def _means(rows: np.ndarray, scales: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """The levels of the least squared error for the weights that are nearest to each; sorted."""
    assigned = _nearest(rows / scales[:, None], levels)
    power = np.broadcast_to(np.square(scales)[:, None], rows.shape)
    products, counts = (
        np.bincount(assigned.ravel(), weights=np.ravel(found), minlength=len(levels))
        for found in (rows * scales[:, None], power)
    )
    return np.sort(np.where(counts > 0, products / np.maximum(counts, np.finfo(float).tiny), levels))


class _Sorted(keras.constraints.Constraint):
    """Levels that overtake one another change places."""

    def __call__(self, value: Any) -> Any:
        return keras.ops.sort(value)


def _jittered(values: Any, levels: Any, noise: Any) -> Any:
    """Values moved so that the nearest level is the upper of the two around, with the probability of the distance."""
    above = tf.clip_by_value(tf.searchsorted(levels, tf.reshape(values, [-1]), side="right"), 1, levels.shape[0] - 1)
    low, high = (tf.reshape(tf.gather(levels, i), tf.shape(values)) for i in (above - 1, above))
    up = (values - low) > noise * (high - low)
    return tf.where(up, high, low)
