"""Samples kept out of the fit: to weigh what rounding costs, and to measure the result."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np

from tfmpq.data.representative import RepresentativeData

EVERY = 8  # every eighth image is kept out of the statistics for the report, and every eighth for the choice ...
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


@dataclass(frozen=True)
class Split:
    """Representative data in three: what weights are fitted to, points are chosen by, and the report measures.

    Attributes:
        whole: all samples.
        fit: samples for the statistics.
        judge: samples on which it is found what rounding a layer costs, which decides where further points go.
        held_out: samples to measure the result on.
    """

    whole: RepresentativeData
    fit: RepresentativeData | Subset
    judge: Sequence[dict[str, np.ndarray]]
    held_out: Sequence[dict[str, np.ndarray]]

    @property
    def fitted(self) -> bool:
        """Whether the samples to measure on are among those of the statistics."""
        return self.fit is self.whole


def hold_out(data: RepresentativeData) -> Split:
    """Keeps samples out of the fit; where there are few, the same ones serve for everything.

    Whole images are held out, with all their views, and measured as they are.
    """
    if data.images < _MIN_IMAGES:
        few = list(islice(data.originals(), _MOST))
        return Split(data, data, few, few)
    measured = range(EVERY - 1, data.images, EVERY)[:_MOST]
    judging = range(EVERY // 2 - 1, data.images, EVERY)[:_MOST]
    left_out = frozenset(i + view * data.images for i in (*judging, *measured) for view in range(data.views))
    kept = {i: sample for i, sample in enumerate(data.originals()) if i in left_out}
    return Split(data, Subset(data, left_out), [kept[i] for i in judging], [kept[i] for i in measured])
