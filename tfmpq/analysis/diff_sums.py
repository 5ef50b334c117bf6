"""Sums over samples that the differences of one layer come from; nothing else is kept."""

from __future__ import annotations

import math

import numpy as np

from tfmpq.activations.values.sqnr import sqnr_db


class DifferenceSums:
    """Differences between expected and found values."""

    def __init__(self) -> None:
        self._signal = self._found = self._noise = self._product = self._largest = 0.0

    def add(self, expected: np.ndarray, found: np.ndarray) -> None:
        """Real values of one sample, of the same shape."""
        a, b = expected.astype(np.float64).reshape(-1), found.astype(np.float64).reshape(-1)
        error = b - a
        self._signal += float(a @ a)
        self._found += float(b @ b)
        self._product += float(a @ b)
        self._noise += float(error @ error)
        self._largest = max(self._largest, float(np.abs(error).max(initial=0.0)))

    @property
    def sqnr_db(self) -> float:
        """Signal to difference; inf: no difference, -inf: also where the found values are no numbers."""
        return sqnr_db(self._signal, self._noise)

    @property
    def cosine(self) -> float:
        """Between both, 1 where both are zero; 0 where the found values are no numbers."""
        if math.isnan(self._noise):
            return 0.0
        if self._signal == 0 or self._found == 0:
            return 1.0 if self._signal == self._found else 0.0
        return self._product / math.sqrt(self._signal * self._found)

    @property
    def relative_noise(self) -> float:
        """Energy of the difference over that of the expected values; 0 where these are all zero."""
        return self._noise / self._signal if self._signal else 0.0

    def largest(self, step: float | None) -> float | None:
        """Largest difference, in steps; inf where the found values are no numbers."""
        if math.isnan(self._noise):
            return math.inf if step else None
        return self._largest / step if step else None
