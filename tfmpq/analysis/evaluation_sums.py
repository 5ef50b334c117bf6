"""Top-1 and closeness to a second file as counts and sums: those of parts of the samples are added.

Counts are exact. Sums of real numbers are added in the order of the parts; in other parts they differ by the rounding
of float64.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, fields

from tfmpq.activations.values.sqnr import sqnr_db
from tfmpq.analysis.divergence import DivergenceSums
from tfmpq.analysis.evaluation_result import Comparison, Evaluation
from tfmpq.analysis.sample_sums import Accuracy, Difference


@dataclass(frozen=True)
class Hits:
    """How often a file is right.

    Attributes:
        first: samples whose class it gives.
        five: samples whose class is among its first five.
    """

    first: int = 0
    five: int = 0


@dataclass(frozen=True)
class EvaluationSums:
    """What is counted of some samples.

    Attributes:
        samples: how many.
        labelled: those that had labels: all or none.
        classes: of the first output; 0: it is no scores.
        ours, theirs: hits of the file and of the second one.
        compared: whether there is a second one.
        lost, gained: samples that only the second file, or only the first, has right.
        agreed, scored: samples on which both give the same class, of how many.
        divergence: of class probabilities.
        signal, noise: of every output, sums of squares.
        largest: difference of any output value.
    """

    samples: int
    labelled: int
    classes: int
    ours: Hits
    theirs: Hits
    compared: bool
    lost: int
    gained: int
    agreed: int
    scored: int
    divergence: DivergenceSums
    signal: tuple[float, ...]
    noise: tuple[float, ...]
    largest: float

    @classmethod
    def of(cls, samples: int, ours: Accuracy, theirs: Accuracy | None, comparison: Difference) -> EvaluationSums:
        """What was kept of samples, as counts and sums."""
        labelled = ours.labels is not None
        pairs = [] if theirs is None else list(zip(ours.hits, theirs.hits, strict=True))
        classes = [] if theirs is None else list(zip(ours.predicted, theirs.predicted, strict=True))
        return cls(
            samples,
            samples if labelled else 0,
            ours.classes,
            Hits(sum(ours.hits), ours.hits5),
            Hits() if theirs is None else Hits(sum(theirs.hits), theirs.hits5),
            theirs is not None,
            sum(a < b for a, b in pairs),
            sum(a > b for a, b in pairs),
            sum(a == b for a, b in classes),
            len(classes),
            comparison.divergence_sums(),
            tuple(map(float, comparison.signal)),
            tuple(map(float, comparison.noise)),
            comparison.largest,
        )

    def evaluation(self, *, runtime: str, kernels: str) -> Evaluation:
        """What they say."""
        n, labelled = self.samples, bool(self.labelled)
        return Evaluation(
            count=n,
            runtime=runtime,
            kernels=kernels,
            top1=self.ours.first / n if labelled else None,
            top1_error=_error(n, self.ours.first, self.ours.first) if labelled else None,
            top5=self.ours.five / n if labelled and self.classes > _FIVE else None,
            against=self._comparison() if self.compared else None,
            metric=None,
        )

    def _comparison(self) -> Comparison:
        n, labelled = self.samples, bool(self.labelled)
        change = self.gained - self.lost
        return Comparison(
            top1=self.theirs.first / n if labelled else None,
            top5=self.theirs.five / n if labelled and self.classes > _FIVE else None,
            difference=change / n if labelled else None,
            difference_error=_error(n, change, self.gained + self.lost) if labelled else None,
            agreement=self.agreed / self.scored if self.scored else None,
            sqnr_db=tuple(sqnr_db(s, e) for s, e in zip(self.signal, self.noise, strict=True)),
            largest_difference=self.largest,
            lost=self.lost if labelled else None,
            gained=self.gained if labelled else None,
            kl=self.divergence.mean(),
        )


_FIVE = 5


def added(parts: Iterable[EvaluationSums]) -> EvaluationSums:
    """The sums over all samples of some parts, in their order; at least one.

    Raises:
        ValueError: Some have labels and others have none, or outputs of another number.
    """
    total: EvaluationSums | None = None
    for part in parts:
        total = part if total is None else _sum(total, part)
    assert total is not None
    return total


def _sum(a: EvaluationSums, b: EvaluationSums) -> EvaluationSums:
    if bool(a.labelled) != bool(b.labelled):
        raise ValueError("some have labels and others have none")
    values = {}
    for name in (f.name for f in fields(a)):
        one, other = getattr(a, name), getattr(b, name)
        if name == "largest" or name == "classes":
            values[name] = max(one, other)
        elif isinstance(one, bool):
            values[name] = one and other
        elif isinstance(one, tuple):
            values[name] = tuple(x + y for x, y in zip(one, other, strict=True))
        elif isinstance(one, Hits):
            values[name] = Hits(one.first + other.first, one.five + other.five)
        else:
            values[name] = one + other
    return EvaluationSums(**values)


def _error(count: int, total: int, squares: int) -> float:
    """Standard error of the mean of ``count`` whole numbers, from their sum and that of their squares."""
    if count < 2:
        return 0.0
    return math.sqrt((count * squares - total**2) / count / (count - 1) / count)
