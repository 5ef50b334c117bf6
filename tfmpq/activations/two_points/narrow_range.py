"""How well int8 holds values of an activation: as one tensor, or as two, of which one covers a narrow range only."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from converters.rewriting.two_points import Range, on_grid, rest_range, step_of

# The wide range over the narrow one. Beyond 64, the factors between scales of a sum come to the kernels' limit of 2^8.
_NARROWER = tuple(2.0 ** (k / 2) for k in range(2, 13))
_FEW = 0.02  # of the values, at either end, that are not looked at to see how far the others spread


@dataclass(frozen=True)
class Narrow:
    """The range that is best for the tensor of small steps.

    Attributes:
        range: of int8.
        noise: mean square of what rounding then changes.
    """

    range: Range
    noise: float


def best_narrow(values: np.ndarray, whole: Range, finest: float = 0.0) -> Narrow:
    """The narrow range with the least noise.

    Args:
        values: of the activation, any shape.
        whole: range that int8 covers of it now.
        finest: step that it must not fall below.

    Returns:
        The whole range where no narrower one may be.
    """
    ranges = [narrow for narrow in map(on_grid, _narrower(whole)) if step_of(narrow) >= finest]
    if not ranges:
        return Narrow(whole, mean_square(values - as_one(values, whole)))
    found = [Narrow(narrow, mean_square(values - as_two(values, whole, narrow))) for narrow in ranges]
    return min(found, key=lambda one: one.noise)


def best_clipped(values: np.ndarray, whole: Range) -> float:
    """The least noise of one tensor, however much of its range is cut off."""
    return min(mean_square(values - as_one(values, span)) for span in (whole, *_narrower(whole)))


def _narrower(whole: Range) -> Iterator[Range]:
    for by in _NARROWER:
        reach = max(abs(whole[0]), abs(whole[1])) / by
        yield max(whole[0], -reach), min(whole[1], reach)


def best_scaled(values: np.ndarray) -> float:
    """The noise of one tensor whose channels each have all the steps: equalized as well as can be.

    Args:
        values: (positions, channels).
    """
    spans = zip(values.min(axis=0), values.max(axis=0), strict=True)
    return float(np.mean([step_of(span) ** 2 / 12 for span in spans]))


def spread(values: np.ndarray) -> float:
    """Variance of the values, but for a few that are far from the others: these count as if they were less far."""
    return float(np.clip(values, *np.quantile(values, (_FEW, 1 - _FEW))).var())


def as_one(values: np.ndarray, whole: Range) -> np.ndarray:
    """Values as one tensor of int8 holds them."""
    step = step_of(whole)
    return np.clip(np.rint(values / step) * step, *on_grid(whole)) if step else np.zeros_like(values)


def as_two(values: np.ndarray, whole: Range, narrow: Range) -> np.ndarray:
    """Values as two tensors hold them, see :mod:`converters.rewriting.two_points`."""
    fine = as_one(values, narrow)
    return fine + as_one(as_one(values, whole) - fine, rest_range(whole, narrow))


def mean_square(values: np.ndarray) -> float:
    """Mean square."""
    return float(np.square(values).mean())


def decibels(signal: float, noise: float) -> float:
    """Signal to noise; both are mean squares, and no noise is less than float32's own."""
    return float(10 * np.log10(max(signal, 1e-30) / max(noise, 1e-14 * signal, 1e-37)))
