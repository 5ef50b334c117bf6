"""Loss-aware clips: of the scales that minimize a p-norm of the weights' error, those of the p that suits the network.

Source: Nahshan, Chmiel, Baskin, Zheltonozhskii, Banner, Bronstein, Mendelson, "Loss aware post-training quantization",
2019 (arXiv 1911.07190), sections 3.1 and 3.2, from its public description: scales that minimize ||w - Q(w)||_p for
several p between 2 and 4, the network's loss for each, and the p at which a parabola through them is least.

Departures: one scale a channel, not a layer; the loss is the divergence of the network's output from the float
network's, as there are no labels; only the rounding of weights counts in it; and the coordinate search that follows
there, Powell's over all scales together, is left out. Biases are corrected, as there.
"""

from __future__ import annotations

import numpy as np

from tfmpq.algorithms.problem import Candidate, Problem
from tfmpq.algorithms.radix import nearest_codes
from tfmpq.algorithms.residuals import quantize_residuals, stored_scale, symmetric_limit

POWERS = (2.0, 2.5, 3.0, 3.5, 4.0)  # tried on the network's loss
_LEAST_SQUARES = 2.0  # where the loss is not known
_COARSE = np.geomspace(1.0, 0.25, 21)  # clips tried, relative to the row's largest weight
_FINE = np.geomspace(1.03, 1 / 1.03, 5)  # around the best of them, which are 7 % apart


def norm_scale(rows: np.ndarray, limit: int, floor: np.ndarray, power: float) -> np.ndarray:
    """Scales (G, R), float32 values, that minimize the p-norm of what rounding to nearest does to rows (G, R, d).

    Args:
        rows: float64 (G, R, d).
        limit: codes lie in -limit..limit.
        floor: (G, R), smallest scales allowed.
        power: p.
    """
    largest = np.abs(rows).max(axis=2)
    best = stored_scale(largest / limit, floor)
    least = _error(rows, best, limit, power)

    def attempt(scale: np.ndarray) -> None:
        nonlocal best, least
        scale = stored_scale(scale, floor)
        error = _error(rows, scale, limit, power)
        better = error < least
        best, least = np.where(better, scale, best), np.where(better, error, least)

    for ratio in _COARSE[1:]:
        attempt(largest / limit * ratio)
    centre = best
    for ratio in _FINE:
        attempt(centre * ratio)
    return best


def _error(rows: np.ndarray, scale: np.ndarray, limit: int, power: float) -> np.ndarray:
    """(G, R), the p-th power of the norm."""
    left = nearest_codes(rows, scale, -limit, limit) * scale[..., None]
    left -= rows
    np.abs(left, out=left)
    return (np.square(left) if power == _LEAST_SQUARES else left**power).sum(axis=2)


def quantize_lapq(problem: Problem, max_points: int) -> list[Candidate]:
    """Nearest rounding with the clips of the network's p; further points do it to what is left."""
    limit, power = symmetric_limit(problem.bits), problem.evidence.parameter or _LEAST_SQUARES

    def fit(residual: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        scale = norm_scale(residual, limit, problem.scale_floor, power)
        return nearest_codes(residual, scale, -limit, limit), scale

    return quantize_residuals(problem, max_points, fit)
