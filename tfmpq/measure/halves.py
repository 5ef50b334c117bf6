"""Symmetric matrices as the halves that they are kept as."""

from __future__ import annotations

import numpy as np


def is_symmetric(moments: np.ndarray) -> bool:
    """Whether matrices (G, d, d) are symmetric in every bit, and lie in memory one after the other."""
    if moments.ndim != 3 or not moments.flags.c_contiguous or moments.shape[1] != moments.shape[2]:
        return False
    bits = moments.view(np.int64) if moments.dtype == np.float64 else moments
    return all(np.array_equal(moment, moment.T) for moment in bits)


def half_of(moments: np.ndarray) -> np.ndarray:
    """(G, d, d), symmetric -> (G, d (d + 1) / 2)."""
    return np.concatenate([moments[:, i, : i + 1] for i in range(moments.shape[1])], axis=1)


def whole_of(half: np.ndarray) -> np.ndarray:
    """What :func:`half_of` had."""
    width = int(np.sqrt(2 * half.shape[1] + 0.25))  # the largest d of which d (d + 1) / 2 is no more
    whole = np.empty((len(half), width, width), half.dtype)
    start = 0
    for i in range(width):
        row = half[:, start : start + i + 1]
        whole[:, i, : i + 1] = row
        whole[:, : i + 1, i] = row
        start += i + 1
    return whole
