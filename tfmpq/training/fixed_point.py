"""Fixed-point numbers <IL, FL>: what they are, and the quantizer of weights that training keeps on them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from converters.points import MAX_BITS, MAX_POINTS, MultipointWeight, Point, grid_limits, radix, split_digits
from tfmpq.training.quantizer import Quantizer
from tfmpq.training.rounding import rounded
from tfmpq.training.start import check_whole

MOST_BITS = 16
_MOST_FRACTION = 24


@dataclass(frozen=True)
class FixedPoint:
    """Numbers with ``integer_bits`` bits before the point, the sign among them, and ``fraction_bits`` behind it.

    Gupta et al., "Deep Learning with Limited Numerical Precision", ICML 2015, section 3. Other than there the smallest
    number is minus the largest, so that a row may be turned around when a normalization is folded into it.

    Attributes:
        integer_bits: IL, at least 1.
        fraction_bits: FL; IL + FL is from 2 to 16.

    Raises:
        OptionError: They are out of range.
    """

    integer_bits: int
    fraction_bits: int

    def __post_init__(self) -> None:
        check_whole("integer_bits", self.integer_bits, 1, MOST_BITS)
        check_whole("fraction_bits", self.fraction_bits, 0, _MOST_FRACTION)
        check_whole("integer_bits + fraction_bits", self.integer_bits + self.fraction_bits, 2, MOST_BITS)

    @property
    def bits(self) -> int:
        """IL + FL."""
        return self.integer_bits + self.fraction_bits

    @property
    def step(self) -> float:
        """Distance of neighbouring numbers, 2^-FL."""
        return 2.0**-self.fraction_bits

    @property
    def most(self) -> int:
        """The largest number, in steps."""
        return 2 ** (self.bits - 1) - 1

    @property
    def digits(self) -> tuple[int, int]:
        """(bits, points) of the smallest points whose radix grid holds every number, and its negative."""
        fitting = (
            (bits, points)
            for points in range(1, MAX_POINTS + 1)
            for bits in range(2, MAX_BITS + 1)
            if min(grid_limits(bits, points)[1], -grid_limits(bits, points)[0]) >= self.most
        )
        return next(fitting)

    def nearest(self, values: Any, noise: Any | None) -> Any:
        """Numbers near ``values``, saturating; see :func:`tfmpq.training.rounding.rounded` for ``noise``."""
        steps = rounded(values / self.step, noise)
        return tf.clip_by_value(steps, -float(self.most), float(self.most)) * self.step


@keras.saving.register_keras_serializable(package="tfmpq")
class FixedPointWeight(Quantizer):
    """Weights as fixed-point numbers; gradients pass straight through as far as these do not saturate.

    Attributes:
        numbers: which.
    """

    def __init__(self, integer_bits: int, fraction_bits: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.numbers = FixedPoint(integer_bits, fraction_bits)

    def start(self, weight: np.ndarray) -> None:
        """Nothing: the numbers are given."""

    def call(self, values: Any, training: bool | None = None) -> Any:
        """The rounded weight."""
        noise = self.noise(values, training)
        limit = self.numbers.most * self.numbers.step
        clipped = tf.clip_by_value(tf.cast(values, tf.float32), -limit, limit)
        return clipped + tf.stop_gradient(self.numbers.nearest(clipped, noise) - clipped)

    def points(self, weight: np.ndarray) -> MultipointWeight:
        """One point a row up to 8 bits; else the digits of every number, two or three."""
        numbers = self.numbers
        steps = np.rint(self.rows(weight).astype(np.float32) / np.float32(numbers.step)).astype(np.float64)
        whole = np.clip(steps, -numbers.most, numbers.most).astype(np.int64)
        bits, points = numbers.digits
        codes = split_digits(whole, bits=bits, points=points)
        scales = [numbers.step * float(radix(bits, points)) ** (points - 1 - i) for i in range(points)]
        rows = len(whole)
        made = [Point(c, np.full(rows, s, np.float32)) for c, s in zip(codes, scales, strict=True)]
        return MultipointWeight(tuple(made), np.full(rows, points, np.int64), bits)

    def get_config(self) -> dict[str, Any]:
        """Everything but the variables."""
        numbers = {"integer_bits": self.numbers.integer_bits, "fraction_bits": self.numbers.fraction_bits}
        return {**super().get_config(), **numbers}
