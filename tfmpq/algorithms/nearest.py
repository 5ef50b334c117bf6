"""Plain rounding: what a 4-bit conversion does without any of the methods here; the baseline of the demo."""

from __future__ import annotations

import numpy as np

from tfmpq.algorithms.problem import Candidate, Problem
from tfmpq.algorithms.radix import nearest_codes
from tfmpq.algorithms.residuals import quantize_residuals, stored_scale, symmetric_limit


def nearest_point(residual: np.ndarray, limit: int, floor: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Codes (G, R, d) in -limit..limit and scales (G, R) of rows (G, R, d): min/max scale, round to nearest."""
    scale = stored_scale(np.abs(residual).max(axis=2) / limit, floor)
    return nearest_codes(residual, scale, -limit, limit), scale


def quantize_nearest(problem: Problem, max_points: int) -> list[Candidate]:
    """Symmetric per-channel min/max scale, round to nearest; every further point rounds what is left the same way."""
    limit = symmetric_limit(problem.bits)
    return quantize_residuals(problem, max_points, lambda left: nearest_point(left, limit, problem.scale_floor))
