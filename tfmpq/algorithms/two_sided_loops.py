"""The inner loops of two-sided rounding, one code after another: compiled where numba is there, else plain NumPy.

Both add the same numbers in the same order, without fused operations, so that codes do not depend on which of them ran.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Loops:
    """The loops as they run here.

    Attributes:
        feed_back, descend: see the functions.
        compiled: whether numba compiled them.
    """

    feed_back: Callable[..., np.ndarray]
    descend: Callable[..., int]
    compiled: bool


@cache
def loops() -> Loops:
    """Compiled loops if numba is installed; it takes a second to import, so only who rounds with them pays for it."""
    try:
        from numba import njit  # pyright: ignore[reportMissingImports]
    except ImportError:
        return PLAIN
    compiled: list[Any] = []
    for loop in (feed_back, descend):
        try:
            compiled.append(njit(cache=True)(loop))
        except RuntimeError:  # there is no folder to keep compiled code in
            compiled.append(njit(loop))
    return Loops(*compiled, compiled=True)


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


PLAIN = Loops(feed_back, descend, compiled=False)
