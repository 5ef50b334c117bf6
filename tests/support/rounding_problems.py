"""Rounding problems that the tests of the algorithms share."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st

from converters.points import MIN_BITS
from tfmpq.algorithms import Candidate, Problem

MomentKind = Literal["full", "diagonal", "rank 1", "dead inputs", "zero"]
MOMENTS: tuple[MomentKind, ...] = ("full", "diagonal", "rank 1", "dead inputs", "zero")
# No deadline: the first example pays for imports. Derandomized: a run that failed fails again.
few = settings(max_examples=60, deadline=None, derandomize=True)
many = settings(max_examples=150, deadline=None, derandomize=True)


def moment_of(inputs: np.ndarray) -> np.ndarray:
    """Second moment (G, d, d) of inputs (G, samples, d)."""
    return np.swapaxes(inputs, 1, 2) @ inputs / inputs.shape[1]


def correlated_moment(rng: np.random.Generator, groups: int, columns: int) -> np.ndarray:
    """Second moment (G, d, d) of non-negative, correlated inputs, as after a ReLU."""
    mixing = rng.normal(size=(groups, columns, columns)) / np.sqrt(columns)
    return moment_of(np.maximum(rng.normal(0.5, 1.0, (groups, 4 * columns, columns)) @ mixing + 0.3, 0.0))


def moment_of_kind(kind: MomentKind, rng: np.random.Generator, groups: int, columns: int) -> np.ndarray:
    if kind == "rank 1":
        return moment_of(rng.normal(size=(groups, 1, columns)))
    if kind == "zero":
        return np.zeros((groups, columns, columns))
    moment = correlated_moment(rng, groups, columns)
    if kind == "diagonal":
        return np.einsum("gdd->gd", moment).copy()
    if kind == "dead inputs":
        dead = rng.random((groups, columns)) < 0.5
        moment[dead] = 0.0
        np.swapaxes(moment, 1, 2)[dead] = 0.0
    return moment


def problem_of(weight: np.ndarray, moment: np.ndarray, bits: int, floor: float = 0.0) -> Problem:
    return Problem(weight, moment, bits, np.full(weight.shape[:2], floor))


def heavy_tailed(rng: np.random.Generator, groups: int, rows: int, columns: int) -> np.ndarray:
    """Rows (G, R, d) with outliers, each of its own size."""
    return rng.standard_t(5, (groups, rows, columns)) * rng.lognormal(0.0, 1.0, (groups, rows, 1))


@st.composite
def problems(draw: st.DrawFn, *, max_bits: int = 8, sizes: tuple[float, ...] = (1.0,)) -> Problem:
    """Small problems of every kind: odd rows (zero, constant, one outlier, whole numbers, ...), moments and layouts.

    Args:
        draw: given by hypothesis.
        max_bits: bits go up to it.
        sizes: magnitudes of the weights.
    """
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    groups, rows, columns = draw(st.tuples(st.integers(1, 3), st.integers(1, 4), st.integers(1, 12)))
    weight = heavy_tailed(rng, groups, rows, columns)
    bits = draw(st.integers(MIN_BITS, max_bits))
    for row in weight.reshape(-1, columns):
        kind = draw(st.sampled_from(["random", "zero", "constant", "outlier", "whole", "one-sided"]))
        if kind == "zero":
            row[:] = 0.0
        elif kind == "constant":
            row[:] = row[0]
        elif kind == "outlier":
            row[0] = draw(st.sampled_from([-1e4, 1e4]))
        elif kind == "whole":  # codes of a point: exact with the right scale
            row[:] = rng.integers(-(2 ** (bits - 1)), 2 ** (bits - 1), columns)
        elif kind == "one-sided":
            row[:] = np.abs(row) * draw(st.sampled_from([-1.0, 1.0]))
    # Weights come from float32 files.
    weight = (weight * draw(st.sampled_from(sizes))).astype(np.float32).astype(np.float64)
    moment = moment_of_kind(draw(st.sampled_from(MOMENTS)), rng, groups, columns)
    largest = float(np.abs(weight).max())
    return problem_of(weight, moment, bits, draw(st.sampled_from([0.0, 1e-3 * largest, 2.0 * largest])))


def reals(candidate: Candidate, like: np.ndarray) -> np.ndarray:
    """The rows a candidate stands for, float64 (G, R, d)."""
    total: Any = (candidate.codes * candidate.scales.astype(np.float64)[..., None]).sum(axis=0)
    return total.reshape(like.shape)


def weight_residuals(candidates: list[Candidate], weight: np.ndarray) -> np.ndarray:
    """Squared weight error (points, G, R)."""
    return np.stack([((reals(c, weight) - weight) ** 2).sum(axis=2) for c in candidates])


def stored_rounding(weight: np.ndarray) -> np.ndarray:
    """Squared weight error (G, R) that a float32 scale may cause by itself, generously.

    A scale is off by at most 2^-24 of itself, so each weight by at most 2^-24 of the row's largest; the factor 4 is
    for clips beyond it and several points.
    """
    return weight.shape[2] * (4 * 2.0**-24 * np.abs(weight).max(axis=2)) ** 2
