"""The int8 range of a tensor with the least error: clipping rare values against rounding all others more finely.

As observers of other tools do (PyTorch's histogram observer, AIMET's and ONNX Runtime's minimum of the squared error
over a grid of clipping thresholds), on a histogram of the values; but the ends are moved one by one, errors are weighed
by what reads them, and zeros, which int8 holds exactly, cost nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

BINS = 1024  # on each side of zero
_STEPS = 255
_RATIOS = np.geomspace(1 / 32, 1, 41)  # of an end, 9 % apart; the last is the end itself
_UNIFORM = 1 / 12  # variance of a rounding error, in squared steps


@dataclass(frozen=True, eq=False)
class Histogram:
    """Values of a tensor, each with what its errors cost; zeros are left out.

    Bins lie on both sides of zero and widen with the square root's inverse: values near zero, which are most, are told
    apart as well as the largest.

    Attributes:
        top: largest absolute value.
        clipped: (2 * BINS,) cost of a squared clipping error of 1 in each bin.
        rounded: (2 * BINS,) the same of rounding errors.
    """

    top: float
    clipped: np.ndarray
    rounded: np.ndarray

    @property
    def centers(self) -> np.ndarray:
        """(2 * BINS,) ascending values that stand for the bins."""
        return bin_centers(self.top)


def bin_centers(top: float) -> np.ndarray:
    """(2 * BINS,) values in the middle of the bins of a histogram that ends at ``top``."""
    side = (np.arange(2 * BINS) + 0.5 - BINS) / BINS
    return np.sign(side) * side**2 * top


def bin_numbers(values: np.ndarray, top: float) -> np.ndarray:
    """int32: bins of values; those beyond ``top`` are in the last."""
    if top <= 0:
        return np.full(values.shape, BINS, np.int32)
    side = np.sqrt(np.abs(values) * np.float32(1 / top))
    number = np.minimum((side * np.float32(BINS)).astype(np.int32), BINS - 1)
    return np.where(values < 0, BINS - 1 - number, BINS + number)


def error_of(histogram: Histogram, low: float, high: float, *, caution: float = 1.0) -> float:
    """What the range costs.

    Args:
        histogram: of the tensor.
        low, high: the range, which holds 0.
        caution: factor of clipping errors.
    """
    return float(_errors(histogram, np.array([low]), np.array([high]), caution)[0, 0])


def best_range(histogram: Histogram, low: float, high: float, *, caution: float = 1.0) -> tuple[float, float]:
    """The range with the least cost.

    Args:
        histogram: of the tensor.
        low, high: the widest range, which holds 0.
        caution: factor of clipping errors. They are of one sign at all places where a value is large, and add up in
            what is computed from them as rounding errors do not; how much, depends on the network.
    """
    lows = low * _RATIOS if low < 0 else np.array([low])
    highs = high * _RATIOS if high > 0 else np.array([high])
    errors = _errors(histogram, lows, highs, caution)
    # The widest range among equals: what was not seen is clipped least.
    i, j = np.unravel_index(errors.size - 1 - int(errors[::-1, ::-1].argmin()), errors.shape)
    return float(lows[i]), float(highs[j])


def _errors(histogram: Histogram, lows: np.ndarray, highs: np.ndarray, caution: float) -> np.ndarray:
    """(lows, highs)."""
    values = histogram.centers
    below = np.minimum(values - lows[:, None], 0) ** 2 @ histogram.clipped
    above = np.maximum(values - highs[:, None], 0) ** 2 @ histogram.clipped
    count = np.concatenate([[0], np.cumsum(histogram.rounded)])
    square = np.concatenate([[0], np.cumsum(histogram.rounded * values**2)])
    step = (highs - lows[:, None]) / _STEPS
    # What is smaller than half a step becomes 0, and is itself the error.
    small = step / 2
    first, last = np.searchsorted(values, lows)[:, None], np.searchsorted(values, highs)[None]
    start = np.clip(np.searchsorted(values, -small), first, last)
    end = np.clip(np.searchsorted(values, small), start, last)
    inside = count[last] - count[first] - (count[end] - count[start])
    rounding = square[end] - square[start] + _UNIFORM * step**2 * inside
    return caution * np.add.outer(below, above) + rounding
