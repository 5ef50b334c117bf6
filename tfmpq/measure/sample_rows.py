"""Inputs of wide layers: some rows of every sample, kept as they are, instead of sums that grow with the square."""

from __future__ import annotations

import numpy as np

from tfmpq.algorithms.exact import product
from tfmpq.algorithms.factored import Factored, slices
from tfmpq.measure.shrinkage import distance_from_identity, target_share, unlike_constant

MOST_ROWS = 2048  # kept of a layer, over all samples: their products take as long as a layer of as many columns


class SampleRows:
    """Rows of samples, for the factored covariance of a layer.

    Args:
        groups, columns: G and d of the rows.
        samples: how many will be added; of more than :data:`MOST_ROWS` some are left out.
    """

    def __init__(self, groups: int, columns: int, samples: int) -> None:
        self._each = max(1, MOST_ROWS // samples)
        self._share = min(1.0, MOST_ROWS / samples)  # of the samples
        self._rows = np.empty((groups, min(samples * self._each, MOST_ROWS), columns), np.float32)
        self._starts: list[int] = []
        self._used = self._seen = 0
        self._total = np.zeros((groups, columns))
        self.count = 0

    def add(self, rows: np.ndarray) -> None:
        """Adds one sample's rows, (G, P, d)."""
        positions = rows.shape[1]
        self._total += rows.sum(axis=1, dtype=np.float64)
        self.count += positions
        wanted = int((self._seen + 1) * self._share) > int(self._seen * self._share)
        self._seen += 1
        taken = min(positions, self._each, self._rows.shape[1] - self._used) if wanted else 0
        if taken:
            even = (np.arange(taken) * positions) // taken
            self._rows[:, self._used : self._used + taken] = rows[:, even]
            self._starts.append(self._used)
            self._used += taken

    def mean(self) -> np.ndarray:
        """(G, d), of all rows."""
        return self._total / self.count

    def covariance(self) -> tuple[Factored, np.ndarray]:
        """The covariance of the kept rows, shrunk towards the identity, and its share (G,). Ends the collection.

        The same estimate as :func:`tfmpq.measure.shrinkage.shrink` makes of whole covariances: all that it needs are
        products of the rows with each other.
        """
        rows, count, samples = self._rows[:, : self._used], self._used, len(self._starts)
        rows -= rows.mean(axis=1, keepdims=True, dtype=np.float64).astype(np.float32)
        products = np.zeros((len(rows), count, count))
        diagonal = np.empty((len(rows), rows.shape[2]))
        for part in slices(rows.shape[2]):
            block = rows[:, :, part].astype(np.float64)
            products += product(block, np.swapaxes(block, 1, 2))
            diagonal[:, part] = np.square(block).mean(axis=1)
        lengths = np.diff([*self._starts, count])
        among = np.add.reduceat(np.add.reduceat(products**2, self._starts, axis=1), self._starts, axis=2)
        square = among.sum(axis=(1, 2)) / count**2
        variance = np.zeros(len(rows))
        if samples > 1:
            own = (np.einsum("gss->gs", among) / lengths**2).sum(axis=1)
            variance = np.maximum(own - samples * square, 0.0) / (samples * (samples - 1))
        changed = unlike_constant(diagonal)
        scale = diagonal.sum(axis=1) / np.maximum(changed.sum(axis=1), 1)
        share = target_share(distance_from_identity(square, diagonal, changed, scale), variance)
        rows *= np.sqrt((1 - share) / count).astype(np.float32)[:, None, None]
        return Factored.of((share * scale)[:, None] * changed, rows), share
