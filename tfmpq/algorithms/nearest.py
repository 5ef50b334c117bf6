"""Plain rounding: what a 4-bit conversion does without any of the methods here; the baseline of the demo."""

from __future__ import annotations

import numpy as np

from tfmpq.algorithms.problem import Candidate, Problem, make_candidate
from tfmpq.algorithms.radix import nearest_codes


def quantize_nearest(problem: Problem, max_points: int) -> list[Candidate]:
    """Symmetric per-channel min/max scale, round to nearest; every further point rounds what is left the same way."""
    limit = 2 ** (problem.bits - 1) - 1
    residual = problem.weight.copy()
    codes: list[np.ndarray] = []
    scales: list[np.ndarray] = []
    result = []
    for _ in range(max_points):
        largest = np.abs(residual).max(axis=2)
        scale = np.maximum(largest / limit, problem.scale_floor).astype(np.float32)
        point = nearest_codes(residual, scale.astype(np.float64), -limit, limit)
        residual = residual - point * scale.astype(np.float64)[..., None]
        codes.append(point)
        scales.append(scale)
        result.append(make_candidate(problem, codes, scales))
    return result
