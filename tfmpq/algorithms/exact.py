"""Linear algebra whose results do not depend on the order in which BLAS adds.

Which order that is depends on the processor, the number of threads and the library; one last bit more or less turns a
tie in rounding, and the codes behind it follow. Numbers that are whole multiples of one unit, and few enough bits long,
have products and sums that float64 holds exactly: in any order, with or without fused operations. So factors are
rounded to such grids first. Units are powers of two.
"""

from __future__ import annotations

import numpy as np

DIGITS = 53  # of float64
_PANEL = 64  # columns of a factor that are made one by one
_STRIP = 512  # columns that are updated at a time


def bits_for(length: int) -> int:
    """Bits that both factors of a sum of ``length`` products may have."""
    return (DIGITS - (max(length, 1) - 1).bit_length()) // 2


def on_grid(values: np.ndarray, bits: int, axis: int | tuple[int, ...]) -> np.ndarray:
    """``values`` rounded to ``bits`` bits below the power of two above the largest magnitude along ``axis``.

    Args:
        values: float64.
        bits: at most 50.
        axis: over which sums will go: what is added needs one unit.
    """
    largest = np.maximum(values.max(axis=axis, keepdims=True), -values.min(axis=axis, keepdims=True))
    # Adding and subtracting a number with that unit in its last place rounds; much faster than dividing.
    shift = np.ldexp(1.5, np.frexp(largest)[1] - bits + DIGITS - 1)
    rounded = values + shift
    rounded -= shift
    return rounded


def significant(value: float, bits: int) -> float:
    """``value`` rounded to ``bits`` significant bits: a figure without the last bits that differ between machines."""
    return float(on_grid(np.array([value], np.float64), bits, 0)[0])


def precise_product(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """``left @ right`` of (..., n, k) and (..., k, m), float64, of factors rounded to 40 bits or so."""
    bits = bits_for(left.shape[-1])
    coarse_left, coarse_right = on_grid(left, bits, -1), on_grid(right, bits, -2)
    fine_left, fine_right = on_grid(left - coarse_left, bits, -1), on_grid(right - coarse_right, bits, -2)
    result = coarse_left @ coarse_right
    result += coarse_left @ fine_right
    result += fine_left @ coarse_right
    return result


def cholesky(matrix: np.ndarray) -> np.ndarray:
    """Lower Cholesky factor of symmetric matrices (G, d, d), float64.

    What a panel takes from later columns is a product of 23 bits, for half the time of :func:`precise_product`: damping
    adds far more to a moment than that rounds off, and codes come out as good (the same error to 0.00001 dB).

    Raises:
        np.linalg.LinAlgError: One is not positive definite.
    """
    lower = np.array(matrix)
    size, bits = lower.shape[-1], bits_for(_PANEL)
    for start in range(0, size, _PANEL):
        stop = min(start + _PANEL, size)
        panel = _factor_panel(lower[:, start:, start:stop])
        lower[:, start:, start:stop] = panel
        lower[:, :start, start:stop] = 0.0
        if stop == size:
            break
        below = on_grid(panel[:, stop - start :], bits, -1)
        for first in range(stop, size, _STRIP):
            last = min(first + _STRIP, size)
            rows = below[:, first - stop :]
            lower[:, first:, first:last] -= rows @ np.swapaxes(rows[:, : last - first], 1, 2)
    return lower


def _factor_panel(panel: np.ndarray) -> np.ndarray:
    """Columns (G, m, w) of which nothing but themselves is left to subtract -> columns of the factor."""
    columns = np.ascontiguousarray(np.swapaxes(panel, 1, 2))  # one after another, each contiguous
    width = columns.shape[1]
    for j in range(width):
        pivot = columns[:, j, j]
        if not (pivot > 0).all():
            raise np.linalg.LinAlgError("a matrix is not positive definite")
        columns[:, j, j:] /= np.sqrt(pivot)[:, None]
        columns[:, j, :j] = 0.0
        columns[:, j + 1 :, j + 1 :] -= columns[:, j, j + 1 : width, None] * columns[:, j, None, j + 1 :]
    return np.swapaxes(columns, 1, 2)
