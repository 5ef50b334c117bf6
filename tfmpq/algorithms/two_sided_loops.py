"""The inner loops of two-sided rounding, one code after another: compiled where numba is there, else plain NumPy.

Both add the same numbers in the same order, without fused operations, so that codes do not depend on which of them ran.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

try:
    from numba import njit  # pyright: ignore[reportMissingImports]
except ImportError:
    njit = None

COMPILED = njit is not None
_Loop = TypeVar("_Loop", bound=Callable)


def _compiled(loop: _Loop) -> _Loop:
    compiled: Any = loop if njit is None else njit(cache=True)(loop)
    return compiled


@_compiled
def feed_back(
    plain: np.ndarray, low: np.ndarray, high: np.ndarray, columns: np.ndarray, rows: np.ndarray
) -> np.ndarray:
    """Codes (d, C), each chosen with what the codes before it, of earlier columns and of earlier rows, left over.

    Args:
        plain: float64 (d, C), weights in steps of their rows, in the order they are rounded in.
        low, high: float64 (C,), code range of each row.
        columns: float64 (d, d): what an error at column i adds to column j > i at [i, j].
        rows: float64 (C, C), the same for rows.
    """
    depth, height = plain.shape
    codes = np.empty_like(plain)
    due = np.zeros_like(plain)
    for j in range(depth):
        wanted = plain[j] + due[j]
        error = np.empty(height)
        for r in range(height):
            code = min(max(np.rint(wanted[r]), low[r]), high[r])
            codes[j, r] = code
            error[r] = plain[j, r] - code
            wanted[r + 1 :] += rows[r, r + 1 :] * (error[r] + due[j, r])
        for k in range(j + 1, depth):
            due[k] += columns[j, k] * error
    return codes


@_compiled
def descend(
    codes: np.ndarray, state: np.ndarray, low: np.ndarray, high: np.ndarray, moment: np.ndarray, outputs: np.ndarray
) -> int:
    """One sweep: every code moves to the best integer given all others. Edits codes and state; returns moves.

    Args:
        codes: float64 (d, C).
        state: float64 (d, C), H times the error in steps of each row.
        low, high: float64 (C,), code range of each row.
        moment: float64 (d, d), H of the inputs.
        outputs: float64 (C, C), moment of the gradients at the outputs, for errors in steps of each row.
    """
    depth, height = codes.shape
    moved = 0
    for j in range(depth):
        slope = np.zeros(height)
        for r in range(height):
            slope += outputs[r] * state[j, r]
        change = np.zeros(height)
        before = moved
        for r in range(height):
            wanted = codes[j, r] - np.rint(slope[r] / (outputs[r, r] * moment[j, j]))
            step = min(max(wanted, low[r]), high[r]) - codes[j, r]
            if step != 0:
                change[r] = step
                codes[j, r] += step
                slope += outputs[r] * (moment[j, j] * step)
                moved += 1
        if moved > before:
            for k in range(depth):
                state[k] += moment[j, k] * change
    return moved
