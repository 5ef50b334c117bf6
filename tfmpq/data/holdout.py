"""Samples kept out of the fit, on which the report measures the result."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np

from tfmpq.data.representative import RepresentativeData

_EVERY = 8  # every eighth image is kept out of the statistics ...
_MIN_IMAGES, _MOST = 32, 32  # ... where there are enough, and at most so many


@dataclass(frozen=True)
class Subset:
    """Representative data without some of the samples."""

    data: RepresentativeData
    left_out: frozenset[int]

    @property
    def count(self) -> int:
        """Samples in a pass."""
        return self.data.count - len(self.left_out)

    def __call__(self) -> Iterator[dict[str, np.ndarray]]:
        """A pass over the samples."""
        return (sample for i, sample in enumerate(self.data()) if i not in self.left_out)


def hold_back(data: RepresentativeData) -> tuple[RepresentativeData | Subset, list[dict[str, np.ndarray]]]:
    """(samples for the statistics, samples to measure on); the same ones where there are few.

    Whole images are kept back, with all their views, and measured as they are.
    """
    if data.images < _MIN_IMAGES:
        return data, list(islice(data.originals(), _MOST))
    kept = range(_EVERY - 1, data.images, _EVERY)[:_MOST]
    left_out = frozenset(i + view * data.images for i in kept for view in range(data.views))
    return Subset(data, left_out), [sample for i, sample in enumerate(data.originals()) if i in kept]
