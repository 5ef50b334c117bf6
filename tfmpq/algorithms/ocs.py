"""Outlier channel splitting: the inputs with the largest weights are computed twice, with half of the weight each.

Source: Zhao, Hu, Dotzel, De Sa, Zhang, "Improving neural network quantization without retraining using outlier channel
splitting", ICML 2019 (arXiv 1901.09504), sections 3.1 and 3.2, from its public description. A weight w of u = w / s
steps becomes two of (u - 1/2) / 2 and (u + 1/2) / 2 steps, whose rounded values add up to the rounded u.

What is there a second copy of an input channel is here a second point of the same scale, whose codes are 0 but at the
columns that are split: the same numbers, exactly, and rows that merge into one int8 row. A file holds that second point
whole, so its bytes say nothing of the method: :func:`split_columns` counts what copies would take.

Departures: rows have scales of their own, so that the outliers are not those of the layer as a whole: each time, the
column is split whose rows, which have their largest weight there, stand for the most rounding noise. A column is split
once at most. Of larger kernels single taps are split, the same share of them. Rows that lose keep one point where
points are handed out by what they bring.
"""

from __future__ import annotations

import math
from functools import partial

import numpy as np

from tfmpq.algorithms.nearest import nearest_point
from tfmpq.algorithms.problem import Candidate, Problem
from tfmpq.algorithms.residuals import quantize_residuals, stored_scale, symmetric_limit

EXPANSION = 0.1  # of the columns are split: the largest share in the paper's tables


def outlier_columns(rows: np.ndarray) -> np.ndarray:
    """Which columns of rows (R, d) are split, bool (d,)."""
    magnitude = np.abs(rows)
    # A power of two takes no digits off, and squares stay within float64.
    magnitude = np.ldexp(magnitude, -int(np.frexp(magnitude.max(initial=0.0))[1]))
    chosen = np.zeros(rows.shape[1], bool)
    for _ in range(math.ceil(EXPANSION * rows.shape[1])):
        column = magnitude.argmax(axis=1)
        noise = np.bincount(column, np.square(magnitude.max(axis=1)), rows.shape[1])
        noise[chosen] = -1.0
        split = int(noise.argmax())
        chosen[split] = True
        magnitude[:, split] /= 2
    return chosen


def split_columns(codes: np.ndarray) -> int:
    """How many columns a layer's second point (C, d) copies."""
    return int(codes.any(axis=0).sum())


def quantize_ocs(problem: Problem, max_points: int) -> list[Candidate]:
    """Plain rounding with one point, split outliers with two; further points round what is left."""
    limit = symmetric_limit(problem.bits)
    plain = partial(nearest_point, limit=limit, floor=problem.scale_floor)
    result = quantize_residuals(problem, 1, plain)
    if max_points == 1:
        return result
    split = np.stack([outlier_columns(rows) for rows in problem.weight])[:, None]
    reach = np.where(split, np.abs(problem.weight) / 2, np.abs(problem.weight)).max(axis=2)
    # A copy has half a weight and at most a quarter of a step more, which rounds to a code.
    scale = stored_scale(reach / limit, problem.scale_floor)
    steps = problem.weight / scale[..., None]
    copies = (np.where(split, (steps - 0.5) / 2, steps), np.where(split, (steps + 0.5) / 2, 0.0))
    codes = [np.clip(np.rint(copy), -limit, limit) for copy in copies]
    given = tuple(partial(_given, own, scale) for own in codes)
    return result + quantize_residuals(problem, max_points, plain, first=given)[1:]


def _given(codes: np.ndarray, scale: np.ndarray, residual: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A point that is known."""
    return codes, scale
