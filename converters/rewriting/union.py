"""Union-find over numbered things, many at a time."""

from __future__ import annotations

import numpy as np


class Union:
    """Sets of numbers; the smallest number of a set stands for it. Number 0 is there from the start."""

    def __init__(self) -> None:
        self._parents = [0]

    def new(self, count: int) -> np.ndarray:
        """(count,) numbers of new sets of one each."""
        start = len(self._parents)
        self._parents += range(start, start + count)
        return np.arange(start, start + count)

    def tie(self, first: np.ndarray, second: np.ndarray) -> None:
        """Joins the sets of each two numbers; of different shapes, they are broadcast."""
        for a, b in zip(*(x.ravel().tolist() for x in np.broadcast_arrays(first, second)), strict=True):
            low, high = sorted((self._root(a), self._root(b)))
            self._parents[high] = low

    def roots(self, numbers: np.ndarray) -> np.ndarray:
        """The number that stands for the set of each."""
        return np.array([self._root(n) for n in numbers.tolist()], np.int64)

    def numbers(self) -> np.ndarray:
        """Number -> that of its set, counted without gaps; the set of 0 is 0."""
        return np.unique(self.roots(np.arange(len(self._parents))), return_inverse=True)[1]

    def _root(self, number: int) -> int:
        parents = self._parents
        while parents[number] != number:
            parents[number] = parents[parents[number]]
            number = parents[number]
        return number
