"""Rows that lie on a low-bit grid already: trained or quantized so before, and to be found again as they are."""

from __future__ import annotations

import numpy as np

_MOST = 8  # largest integer of a row that is looked for: that of 4-bit points
_OFF = 1e-4  # of a step: float32 rounding of folded scales takes 1e-6; chance hardly comes so near in several weights
_FEW = 16  # columns that rule most rows out


def grid_step(weight: np.ndarray, low: int, high: int) -> np.ndarray:
    """The coarsest step of which all weights of a row are integer multiples within ``low``..``high``.

    Args:
        weight: (G, R, d).
        low, high: code range.

    Returns:
        (G, R); 0 where a row lies on no grid whose largest integer is at most 8.
    """
    rows = weight.reshape(-1, weight.shape[-1])
    largest = np.abs(rows).max(axis=1)
    found = np.zeros(len(rows))
    for most in range(1, min(_MOST, max(high, -low)) + 1):
        left = np.flatnonzero((found == 0) & (largest > 0))
        step = largest[left] / most
        near = _on_grid(rows[left][:, :_FEW], step, low, high)
        left, step = left[near], step[near]
        on = _on_grid(rows[left], step, low, high)
        found[left[on]] = step[on]
    return found.reshape(weight.shape[:2])


def _on_grid(rows: np.ndarray, step: np.ndarray, low: int, high: int) -> np.ndarray:
    steps = rows / step[:, None]
    codes = np.rint(steps)
    return np.all((np.abs(steps - codes) < _OFF) & (codes >= low) & (codes <= high), axis=1)
