"""The multipoint paper's algorithm, as published.

Source: Liu, Ye, Zhou, Liu, "Post-training Quantization with Multiple Points", AAAI 2021 (arXiv 2002.09049),
algorithm 1: each point is fitted to what the points before it leave, `a* = argmin_a ||r - a [r/a]_Q||` by grid search.
"""

from __future__ import annotations

import numpy as np

from tfmpq.algorithms.problem import Candidate, Problem
from tfmpq.algorithms.residuals import quantize_residuals, symmetric_limit

_GRID = 200  # values of a tried in (0, 2 max|r|]


def fit_point(residual: np.ndarray, limit: int, floor: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """One point for every row: codes (G, R, d) in -limit..limit and scales (G, R), least squared weight error."""
    largest = np.abs(residual).max(axis=2)
    # a in (0, 2 max|r|] of the paper is for codes in units of 1; with integer codes up to `limit`, a beyond
    # 2 max|r| / limit only coarsens a grid that already covers the row.
    best_scale = np.maximum(largest / limit, floor)
    best_codes = np.zeros_like(residual)
    best_error = (residual**2).sum(axis=2)
    for fraction in np.linspace(1 / _GRID, 1.0, _GRID):
        scale = np.maximum(2.0 * largest / limit * fraction, floor)
        codes = np.clip(np.rint(residual / scale[..., None]), -limit, limit)
        norm = (codes**2).sum(axis=2)
        refit = np.where(norm > 0, (codes * residual).sum(axis=2) / np.where(norm > 0, norm, 1.0), scale)
        refit = np.maximum(refit, floor).astype(np.float32).astype(np.float64)
        error = ((residual - refit[..., None] * codes) ** 2).sum(axis=2)
        better = error < best_error
        best_scale, best_error = np.where(better, refit, best_scale), np.where(better, error, best_error)
        best_codes = np.where(better[..., None], codes, best_codes)
    return best_codes, best_scale


def quantize_greedy(problem: Problem, max_points: int) -> list[Candidate]:
    """Rows with 1..max_points greedy points: nearest rounding, weight error, symmetric codes, no data used.

    The output error reported with each candidate is what the paper's epsilon rule tests.
    """
    limit = symmetric_limit(problem.bits)
    return quantize_residuals(problem, max_points, lambda residual: fit_point(residual, limit, problem.scale_floor))
