"""What is kept of the samples while they are run: hits and predictions, noise of the outputs, values of a metric."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from converters.errors import DataError
from tfmpq.activations.values.sqnr import sqnr_db
from tfmpq.analysis.divergence import Divergences, DivergenceSums
from tfmpq.analysis.metrics import Metric, Tally, without_batch


@dataclass(frozen=True)
class SampleFigures:
    """What single samples say of a file and of the one it is compared with, in their order.

    Attributes:
        divergences: of the class probabilities from the second file's, nats (samples,); None: the first output is no
            scores, or there is no second file.
        ours: values of the metric; None: top-1.
        theirs: the second file's; None also where the metric compares the two.
    """

    divergences: np.ndarray | None
    ours: Tally | None
    theirs: Tally | None


class Judged:
    """A metric of the file and, where it is no comparison itself, of the second one.

    Attributes:
        ours: the file's values.
        theirs: the second file's; None: it is the reference, or there is none.
    """

    def __init__(self, metric: Metric, labels: np.ndarray | None, *, compared: bool) -> None:
        self._labels = None if compared and metric.against_outputs else labels
        self._single = metric.against_outputs
        self.ours = Tally(metric)
        self.theirs = Tally(metric) if compared and self._labels is not None else None

    def add(self, number: int, result: list[np.ndarray], reference: list[np.ndarray] | None) -> None:
        """Judges a sample's outputs, and the second file's."""
        if self._labels is not None:
            self.ours.add(result, self._labels[number])
            if self.theirs and reference is not None:
                self.theirs.add(reference, self._labels[number])
        elif reference is not None:
            outputs = without_batch(reference)
            self.ours.add(result, outputs[0] if self._single else outputs)


class Accuracy:
    """Counts hits, and keeps the predicted classes (one number a sample).

    Args:
        labels: class numbers; None: there are none.
        place: what a sample is called in messages.
    """

    def __init__(self, labels: np.ndarray | None, place: Callable[[int], str] = "sample {}".format) -> None:
        self.labels, self._place = labels, place
        self.hits: list[int] = []
        self.hits5 = 0
        self.predicted: list[int] = []
        self.classes = 0

    def add(self, number: int, output: np.ndarray) -> None:
        """The first output of one sample.

        Raises:
            DataError: It is NaN, or its label is no class of it.
        """
        scores = output.reshape(-1)
        is_scores = _are_scores(output)
        if np.isnan(scores).any():
            raise DataError(f"the model's first output for {self._place(number)} is NaN: the file is broken")
        if is_scores:
            self.classes = scores.size
            self.predicted.append(int(np.argmax(scores)))
        if self.labels is None:
            return
        label = int(self.labels[number])
        if not is_scores:
            raise DataError(
                f"the model's first output has shape {output.shape} for one sample, which are no class scores: "
                "leave out 'y' and compare with a second file"
            )
        if label >= scores.size:
            raise no_class(self._place(number), label, scores.size)
        rank = np.count_nonzero(scores > scores[label]) + np.count_nonzero(scores[:label] == scores[label])
        self.hits.append(int(rank == 0))
        self.hits5 += int(rank < 5)

    def top1(self) -> float | None:
        """Share of hits; None without labels."""
        return float(np.mean(self.hits)) if self.labels is not None else None

    def top5(self) -> float | None:
        """Share of samples whose label is among the first five classes; None with five classes or fewer."""
        return self.hits5 / len(self.hits) if self.labels is not None and self.classes > 5 else None


class Difference:
    """Sums for the signal to noise ratio of every output, and the divergence of every sample."""

    def __init__(self) -> None:
        self.signal = np.zeros(0)
        self.noise = np.zeros(0)
        self.largest = 0.0
        self._divergences = Divergences()

    def add(self, result: list[np.ndarray], reference: list[np.ndarray]) -> None:
        """All outputs of one sample.

        Raises:
            DataError: The files have other outputs.
        """
        if [a.shape for a in result] != [b.shape for b in reference]:
            raise DataError(
                f"the two files cannot be compared: for one sample their outputs have shapes "
                f"{[a.shape for a in result]} and {[b.shape for b in reference]}"
            )
        errors = [a.astype(np.float64) - b.astype(np.float64) for a, b in zip(result, reference, strict=True)]
        if not self.signal.size:
            self.signal, self.noise = np.zeros(len(result)), np.zeros(len(result))
        self.signal += [float(np.sum(b.astype(np.float64) ** 2)) for b in reference]
        self.noise += [float(np.sum(e**2)) for e in errors]
        self.largest = max(self.largest, *(float(np.abs(e).max(initial=0)) for e in errors))
        if _are_scores(reference[0]):
            self._divergences.add(*(outputs[0].reshape(1, -1) for outputs in (reference, result)))

    def divergences(self) -> np.ndarray | None:
        """Of the class probabilities of every sample; None: the first output is no scores."""
        values = self._divergences.values()
        return values if len(values) else None

    def divergence_sums(self) -> DivergenceSums:
        """What :meth:`divergences` are, as sums."""
        return self._divergences.sums()

    def sqnr_db(self) -> tuple[float, ...]:
        """Of every output."""
        return tuple(sqnr_db(s, n) for s, n in zip(self.signal, self.noise, strict=True))


def no_class(place: str, label: int, classes: int) -> DataError:
    """The error of a label that the model has no class for.

    Args:
        place: what the sample is called.
        label: its class number.
        classes: that the model has.
    """
    return DataError(
        f"{place} has label {label}, but the model has {classes} classes, 0..{classes - 1}: is there a background "
        "class, or do the labels start at 1?"
    )


def _are_scores(output: np.ndarray) -> bool:
    """Whether an output of one sample is one score for each of several classes."""
    return output.size == output.shape[-1] > 1 if output.ndim else False
