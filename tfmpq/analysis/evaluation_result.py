"""What evaluating a .tflite file finds: accuracy, and how close its outputs are to a second file's."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from tfmpq.text import Block, Facts, to_plain, to_terminal


@dataclass(frozen=True)
class MetricValue:
    """A metric other than top-1, over all samples.

    Attributes:
        name: of the metric.
        value: the result.
        error: its standard error, the samples being independent.
        smallest, largest: of a single sample.
    """

    name: str
    value: float
    error: float
    smallest: float
    largest: float


@dataclass(frozen=True)
class Comparison:
    """A file against a second one (the reference) on the same samples.

    Attributes:
        top1: the second file's top-1 accuracy; None without labels.
        top5: its top-5 accuracy; None without labels or with five classes or fewer.
        difference: top-1 of the file minus top-1 of the second one.
        difference_error: standard error of that difference, the samples being the same (paired).
        agreement: fraction of samples on which both predict the same class; None if the outputs are no scores.
        sqnr_db: signal to noise of every output in dB, the second file's output being the signal; inf: identical.
        largest_difference: of any output value, in real units.
        metric: the second file's, where the metric was asked for and is no comparison of the two itself.
        metric_difference: the file's minus the second one's.
        metric_difference_error: standard error of that difference, the samples being the same (paired).
        lost: samples whose class the second file gives and the file does not; None without labels.
        gained: samples whose class only the file gives.
        kl: mean KL divergence of the class probabilities from the second file's, nats; None if the outputs are no
            scores.
    """

    top1: float | None
    top5: float | None
    difference: float | None
    difference_error: float | None
    agreement: float | None
    sqnr_db: tuple[float, ...]
    largest_difference: float
    metric: MetricValue | None = None
    metric_difference: float | None = None
    metric_difference_error: float | None = None
    lost: int | None = None
    gained: int | None = None
    kl: float | None = None


@dataclass(frozen=True)
class Evaluation:
    """Result of :func:`tfmpq.analysis.evaluation.evaluate`; accuracies are fractions, 0..1.

    Attributes:
        count: samples.
        runtime: interpreter and version.
        kernels: which kernels it ran.
        top1: accuracy; None without labels.
        top1_error: its standard error.
        top5: top-5 accuracy; None without labels or with five classes or fewer.
        against: the comparison with a second file, if one was given.
        metric: what the metric says that was asked for; None for top-1.
    """

    count: int
    runtime: str
    kernels: str
    top1: float | None
    top1_error: float | None
    top5: float | None
    against: Comparison | None
    metric: MetricValue | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON, which has no infinity: the SQNR of identical outputs becomes None."""
        return to_plain(dataclasses.asdict(self))

    def blocks(self) -> tuple[Block, ...]:
        """What there is to read, for :mod:`tfmpq.text`."""
        rows = [("samples", f"{self.count}  ({self.runtime}, {self.kernels} kernels)")]
        if self.top1 is not None and self.top1_error is not None:
            rows.append(("top-1", f"{self.top1:.2%}  +- {self.top1_error:.2%}"))
        if self.top5 is not None:
            rows.append(("top-5", f"{self.top5:.2%}"))
        if self.metric:
            rows.append((self.metric.name, _text(self.metric)))
        other = self.against
        if other:
            if other.top1 is not None and other.difference is not None and other.difference_error is not None:
                rows.append(("second file top-1", f"{other.top1:.2%}"))
                error = f"+- {100 * other.difference_error:.2f}"
                rows.append(("top-1 difference", f"{100 * other.difference:+.2f} points  {error} (paired)"))
            if other.top5 is not None:
                rows.append(("second file top-5", f"{other.top5:.2%}"))
            if other.metric:
                rows.append(("second file", _text(other.metric)))
                error = f"+- {other.metric_difference_error:.2g}"
                rows.append(("difference", f"{other.metric_difference:+.5g}  {error} (paired)"))
            if other.agreement is not None:
                rows.append(("same prediction", f"{other.agreement:.2%}"))
            rows.append(("output SQNR", ", ".join(f"{value:.1f} dB" for value in other.sqnr_db)))
            rows.append(("largest difference", f"{other.largest_difference:.4g}"))
        return (Facts(tuple(rows)),)

    def __str__(self) -> str:
        return to_terminal(self.blocks())


def _text(measured: MetricValue) -> str:
    span = f"{measured.smallest:.5g} to {measured.largest:.5g}"
    return f"{measured.value:.5g}  +- {measured.error:.2g}  (single samples: {span})"
