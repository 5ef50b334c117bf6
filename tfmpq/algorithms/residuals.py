"""Point after point: each fitted to what the points before it leave of the rows."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tfmpq.algorithms.problem import Candidate, Problem, make_candidate

FitPoint = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]


def quantize_residuals(
    problem: Problem, max_points: int, fit: FitPoint, *, first: tuple[FitPoint, ...] = ()
) -> list[Candidate]:
    """Rows with 1..max_points points.

    Args:
        problem: the rows.
        max_points: how many candidates are wanted.
        fit: residual (G, R, d) -> integer codes (G, R, d) and scales (G, R) of a point.
        first: what fits the first points, where others than ``fit`` do.
    """
    residual = problem.weight.copy()
    codes: list[np.ndarray] = []
    scales: list[np.ndarray] = []
    result = []
    for number in range(max_points):
        point, scale = (first[number] if number < len(first) else fit)(residual)
        # float32 scales are what the file holds; later points repair their rounding too.
        stored = scale.astype(np.float32)
        residual = residual - point * stored.astype(np.float64)[..., None]
        codes.append(point)
        scales.append(stored)
        result.append(make_candidate(problem, codes, scales))
    return result


def symmetric_limit(bits: int) -> int:
    """Largest code of a symmetric point."""
    return 2 ** (bits - 1) - 1


def stored_scale(scale: np.ndarray, floor: np.ndarray) -> np.ndarray:
    """Scales (G, R) as the file will hold them, at least ``floor``; float64."""
    return np.maximum(scale, floor).astype(np.float32).astype(np.float64)
