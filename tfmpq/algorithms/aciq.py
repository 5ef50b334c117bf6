"""Analytical clipping and a correction of each channel's norm and mean.

Source: Banner, Nahshan, Soudry, "Post-training 4-bit quantization of convolutional networks for rapid-deployment",
NeurIPS 2019 (arXiv 1810.05723), sections 3 (ACIQ) and 5 (bias correction); from its public description. The clip
minimizes the expected error of weights that follow a Laplace or a normal distribution, in closed form.

Departures, as rows have one scale and no zero point here: levels are the 2^bits - 1 of a symmetric grid, not 2^bits;
the distribution is centred at 0; which of the two a row follows is the likelier one; a clip beyond the row's largest
weight is that weight; and the shift of a channel's mean is repaired where it meets the input, in the layer's bias,
which repairs what else rounding does to the mean output too.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from tfmpq.algorithms.problem import Candidate, Problem
from tfmpq.algorithms.radix import nearest_codes
from tfmpq.algorithms.residuals import quantize_residuals, stored_scale, symmetric_limit

_LAPLACE_BELOW = math.sqrt(math.pi / (2 * math.e))  # mean over root mean square: there a Laplace density is likelier
_FARTHEST = 32.0  # of a clip, in units of the distribution: beyond that of any number of bits
_HALVINGS = 60


def laplace_clip(limit: int) -> float:
    """The best clip of a Laplace variable, in units of its mean magnitude: t e^t = 12 L^2 for codes -L..L.

    From the expected error ``2 e^-t + t^2 / (12 L^2)`` of clipping beyond t and rounding within.
    """
    return _root(lambda t: 12.0 * limit**2 * math.exp(-t) - t)


def normal_clip(limit: int) -> float:
    """The best clip of a normal variable, in standard deviations, for codes -L..L.

    Where the slope of ``(u^2 + 1) erfc(u / sqrt 2) - sqrt(2 / pi) u e^(-u^2 / 2) + u^2 / (12 L^2)`` is 0.
    """

    def falls(u: float) -> float:
        density = math.sqrt(2 / math.pi) * math.exp(-u * u / 2)
        return density - u * math.erfc(u / math.sqrt(2)) - u / (12.0 * limit**2)

    return _root(falls)


def _root(falling: Callable[[float], float]) -> float:
    """Where a function falls through 0, in (0, 32)."""
    low, high = 0.0, _FARTHEST
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if falling(middle) > 0 else (low, middle)
    return (low + high) / 2


def analytical_clip(rows: np.ndarray, limit: int) -> np.ndarray:
    """Largest magnitude (G, R) that codes -limit..limit of rows (G, R, d) are to stand for."""
    magnitude = np.abs(rows)
    largest, mean = magnitude.max(axis=2), magnitude.mean(axis=2)
    spread = np.sqrt(np.square(rows).mean(axis=2))
    clip = np.where(mean < _LAPLACE_BELOW * spread, laplace_clip(limit) * mean, normal_clip(limit) * spread)
    return np.minimum(clip, largest)


def quantize_aciq(problem: Problem, max_points: int) -> list[Candidate]:
    """Nearest rounding within the analytical clip, each row's norm restored; further points do it to what is left."""
    limit = symmetric_limit(problem.bits)

    def fit(residual: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        scale = stored_scale(analytical_clip(residual, limit) / limit, problem.scale_floor)
        codes = nearest_codes(residual, scale, -limit, limit)
        norm, rounded = residual.std(axis=2), codes.std(axis=2)  # about the row's mean
        kept = (norm > 0) & (rounded > 0)
        return codes, np.where(kept, np.maximum(norm / np.where(kept, rounded, 1.0), problem.scale_floor), scale)

    return quantize_residuals(problem, max_points, fit)
