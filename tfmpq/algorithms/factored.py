"""Second moments of wide layers: a diagonal and a few rows whose products make up the rest.

A layer of 25088 columns would have a moment of 5 GB, of which 100 images fill 100 dimensions. H = diag(D) + X^T X with
their inputs X says the same in 10 MB, and errors cost n products a column instead of d.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from tfmpq.algorithms.exact import DIGITS, precise_product

ROW_BITS = 21  # of X: with as many of what they are multiplied with, sums of 2048 are exact
_SLICE = 1024  # columns at a time


@dataclass(frozen=True, eq=False)
class Factored:
    """H = diag(own) + rows^T rows for each of G groups.

    Attributes:
        own: float64 (G, d), not negative.
        rows: float32 (G, n, d), whole multiples of one power of two in each group.
    """

    own: np.ndarray
    rows: np.ndarray

    @classmethod
    def of(cls, own: np.ndarray, rows: np.ndarray) -> Factored:
        """Rounds ``rows``, float32 (G, n, d), to their grid; they are changed in place."""
        for group in rows:
            largest = max(float(group.max(initial=0.0)), -float(group.min(initial=0.0)))
            shift = np.ldexp(1.5, int(np.frexp(largest)[1]) - ROW_BITS + DIGITS - 1)
            for part in slices(group.shape[1]):
                group[:, part] = (group[:, part] + shift) - shift
        return cls(own, rows)

    @property
    def diagonal(self) -> np.ndarray:
        """The diagonal of H, float64 (G, d)."""
        return self.own + np.einsum("gnd,gnd->gd", self.rows, self.rows, dtype=np.float64)

    def with_rows(self, more: np.ndarray) -> Factored:
        """The moment plus the products of ``more`` rows, (G, m, d)."""
        return Factored.of(self.own, np.concatenate([self.rows, more.astype(np.float32)], axis=1))

    def images(self, rows: np.ndarray) -> np.ndarray:
        """X times rows (G, R, d) of a layer or of errors -> (G, R, n)."""
        result = np.zeros((*rows.shape[:2], self.rows.shape[1]))
        for part in slices(rows.shape[2]):
            result += precise_product(rows[..., part], np.swapaxes(self.rows[..., part], 1, 2).astype(np.float64))
        return result

    def error(self, delta: np.ndarray) -> np.ndarray:
        """delta^T H delta of rows (G, R, d), (G, R)."""
        return np.einsum("grd,grd,gd->gr", delta, delta, self.own) + np.square(self.images(delta)).sum(axis=2)


def slices(columns: int) -> Iterator[slice]:
    """Parts of the columns that are worked on at a time."""
    return (slice(start, min(start + _SLICE, columns)) for start in range(0, columns, _SLICE))
