"""Rows of float activations as kernels with integer weights round them to 8 bits, and where kernels may differ.

XNNPACK and the built-in kernels round a row between min(x, 0) and max(x, 0) in 255 steps; the zero point is rounded to
an integer so that 0 stays 0. Some built-in kernels round it between -max |x| and max |x| in 254 steps. They form scale,
zero point and quotient in float32, in different orders, and round ties to even or away from zero: an element whose
exact quotient is within ``_MARGIN`` of a tie may get either neighbour. Quotients reach 255 and have at most five
roundings of 2^-24 each, an error of 8e-5; 2^-13 covers it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_LOW, _HIGH = -128, 127
_MARGIN = 2.0**-13
_LEAST_SPAN = 2.0**-118  # of a row: 255 divided by less leaves float32, and kernels may take its numbers as anything
_LEAST_NORMAL = 2.0**-126  # XNNPACK takes smaller numbers as zeros,
_FAR_SPAN = 2.0**-100  # which to a row of this span they are: less than 2^-26 of it, and than 255 * 2^-26 steps


@dataclass(frozen=True)
class RoundedRows:
    """Rows of an activation in integers.

    Attributes:
        codes: (R, n), the zero point taken off.
        scale: (R, 1), what one step is worth.
        doubt: (R, n), by how many steps a kernel's code may differ.
        symmetric: whether the zero point is 0.
    """

    codes: np.ndarray
    scale: np.ndarray
    doubt: np.ndarray
    symmetric: bool


def between_extremes(rows: np.ndarray) -> RoundedRows:
    """Rows (R, n) rounded between their minimum and maximum, 0 included."""
    exact = rows.astype(np.float64)
    low = np.minimum(exact.min(axis=1, keepdims=True, initial=0), 0)
    span = np.maximum(exact.max(axis=1, keepdims=True, initial=0), 0) - low
    scale = np.where(span > 0, span / (_HIGH - _LOW), 1.0)
    zero = _LOW - low / scale
    nearest = np.clip(np.rint(zero), _LOW, _HIGH)
    steps = exact / scale
    codes = np.clip(np.rint(steps) + nearest, _LOW, _HIGH)
    doubt = _near_tie(steps)
    # With the other zero point all codes move along, but for those that stand at an end.
    doubt += _near_tie(zero) * ((codes <= _LOW) | (codes >= _HIGH))
    return _rounded(exact, codes - nearest, scale, doubt, span, symmetric=False)


def around_zero(rows: np.ndarray) -> RoundedRows:
    """Rows (R, n) rounded between minus and plus their largest magnitude."""
    exact = rows.astype(np.float64)
    largest = np.abs(exact).max(axis=1, keepdims=True, initial=0)
    scale = np.where(largest > 0, largest / _HIGH, 1.0)
    steps = exact / scale
    codes = np.clip(np.rint(steps), -_HIGH, _HIGH)
    return _rounded(exact, codes, scale, _near_tie(steps), largest, symmetric=True)


def _near_tie(steps: np.ndarray) -> np.ndarray:
    return (np.abs(np.abs(steps) % 1 - 0.5) < _MARGIN).astype(np.float64)


def _rounded(
    exact: np.ndarray, codes: np.ndarray, scale: np.ndarray, doubt: np.ndarray, span: np.ndarray, *, symmetric: bool
) -> RoundedRows:
    subnormal = ((exact != 0) & (np.abs(exact) < _LEAST_NORMAL)).any(axis=1, keepdims=True)
    lost = (span > 0) & (span < np.where(subnormal, _FAR_SPAN, _LEAST_SPAN))
    far = np.abs(codes) + np.where(span < _LEAST_SPAN, _HIGH - _LOW, 1)
    return RoundedRows(codes, scale, np.where(lost, far, doubt), symmetric)
