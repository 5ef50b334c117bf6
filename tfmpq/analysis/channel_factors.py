"""Recovers by what channels are scaled in a file that tfmpq equalized, from what they compute on a few samples.

The factors are not noted in the file. They are powers of 2^(1/16), so that a fit tells them from small errors of gain,
which are errors and must stay so.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

_PER_OCTAVE = 16
_NONE = 0.1  # of a tensor's log factors, at most: gains of rows of few bits are off by as much


class ChannelFactors:
    """Sums of one pair of activations, for the factor of each channel."""

    def __init__(self) -> None:
        self._square: np.ndarray | float = 0.0
        self._product: np.ndarray | float = 0.0

    def add(self, first: np.ndarray, second: np.ndarray) -> None:
        """Real values of one sample, of one shape, channels last and in the same order."""
        a, b = (np.asarray(x, np.float64).reshape(-1, x.shape[-1] if x.ndim else 1) for x in (first, second))
        self._square = self._square + np.square(a).sum(axis=0)
        self._product = self._product + (a * b).sum(axis=0)

    def result(self) -> np.ndarray | None:
        """(channels,), factor from the first file's values to the second's; None: nothing is scaled."""
        square, product = np.atleast_1d(self._square), np.atleast_1d(self._product)
        known = (square > 0) & (product > 0) & np.isfinite(square) & np.isfinite(product)
        log = np.log2(np.divide(product, square, out=np.ones_like(product), where=known))
        if not np.abs(log[known]).max(initial=0.0) * np.log(2) > _NONE:
            return None
        return np.exp2(np.round(log * _PER_OCTAVE) / _PER_OCTAVE)


def scaled_by(values: np.ndarray, factors: np.ndarray | None) -> np.ndarray:
    """Values as the second file has them."""
    return values if factors is None else (values * factors).astype(np.float32)


def in_first_order(factors: np.ndarray, order: Sequence[int] | np.ndarray | None) -> np.ndarray:
    """Factors by the first file's order of channels, given where each of them stands in the second."""
    if order is None:
        return factors
    result = np.empty_like(factors)
    result[np.asarray(order)] = factors
    return result
