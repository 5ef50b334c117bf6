"""How good a file's outputs are on labelled data, and how close to the float file's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from converters.frontend.unknown_file import open_file
from tfmpq.activations.values.sqnr import sqnr_db
from tfmpq.analysis.divergence import Divergences, divergence
from tfmpq.analysis.evaluation import predictions
from tfmpq.data.evaluation_set import Labelled

_PART = 256  # samples that are run at a time where outputs are not kept
Outputs = Sequence[np.ndarray]  # real values, one array an output, samples first


@dataclass(frozen=True)
class Quality:
    """Figures of one file.

    Attributes:
        top1: share of samples whose label is the class of the highest score; None: no labels, or no classifier.
        top1_error: its standard error.
        agreement: share of samples with the float file's class; None: no classifier.
        kl: mean divergence of the class probabilities from the float file's, nats; None: no classifier.
        sqnr_db: signal to noise ratio of every output; infinite where nothing differs.
    """

    top1: float | None
    top1_error: float | None
    agreement: float | None
    kl: float | None
    sqnr_db: tuple[float, ...]


def outputs_of(content: bytes, data: Labelled) -> list[np.ndarray]:
    """What a file computes on every sample.

    Raises:
        DataError: The samples do not fit.
    """
    return _joined(list(predictions(open_file(content), data)))


def _joined(collected: Sequence[Sequence[np.ndarray]]) -> list[np.ndarray]:
    return [np.concatenate([np.atleast_1d(result[i]) for result in collected]) for i in range(len(collected[0]))]


def quality_in_parts(content: bytes, real: bytes, data: Labelled) -> Quality:
    """:func:`quality` of a file on any number of samples: nothing but sums is kept.

    Args:
        content, real: the file and the float file.
        data: samples, with class numbers or without labels.

    Raises:
        DataError: The samples do not fit.
    """
    files = [open_file(file) for file in (content, real)]
    shares: list[Quality] = []
    signal, noise, divergences, counts = [], [], [], []
    for start in range(0, data.count, _PART):
        rows = np.arange(start, min(start + _PART, data.count))
        labels = None if data.labels is None else data.labels[rows]
        part = Labelled({name: array[rows] for name, array in data.inputs.items()}, labels)
        mine, theirs = (_joined(list(predictions(file, part))) for file in files)
        shares.append(quality(mine, theirs, labels))
        signal.append([float(np.square(b, dtype=np.float64).sum()) for b in theirs])
        noise.append([float(np.square(a - b, dtype=np.float64).sum()) for a, b in zip(mine, theirs, strict=True)])
        counts.append(len(rows))
        if is_classifier(mine):
            found = Divergences()
            found.add(*(values[0].reshape(len(rows), -1) for values in (theirs, mine)))
            divergences.append(found.sums())
    noises = tuple(map(sqnr_db, np.sum(signal, 0).tolist(), np.sum(noise, 0).tolist()))
    top1, agreement = (_mean([getattr(share, name) for share in shares], counts) for name in ("top1", "agreement"))
    error = None if top1 is None else _standard_error(top1, data.count)
    kl = sum(divergences[1:], divergences[0]).mean() if divergences else None
    return Quality(top1, error, agreement, kl, noises)


def _standard_error(share: float, count: int) -> float:
    """Of a share of so many samples, by their own spread."""
    return float(np.sqrt(share * (1 - share) / (count - 1))) if count > 1 else 0.0


def _mean(shares: Sequence[float | None], counts: Sequence[int]) -> float | None:
    known = [share for share in shares if share is not None]
    return float(np.average(known, weights=counts)) if known else None


def is_classifier(outputs: Outputs) -> bool:
    """Whether there is one output, of one row of scores a sample."""
    scores = outputs[0].shape[-1]
    return len(outputs) == 1 and scores > 1 and outputs[0].size == scores * len(outputs[0])


def quality(outputs: Outputs, real: Outputs, labels: np.ndarray | None) -> Quality:
    """Compares a file's outputs with the float file's, and with labels.

    Args:
        outputs, real: of the file and the float file.
        labels: class numbers, (samples,).
    """
    noise = tuple(
        sqnr_db(float(np.square(b, dtype=np.float64).sum()), float(np.square(a - b, dtype=np.float64).sum()))
        for a, b in zip(outputs, real, strict=True)
    )
    if not is_classifier(outputs):
        return Quality(None, None, None, None, noise)
    mine, theirs = (values[0].reshape(len(values[0]), -1) for values in (outputs, real))
    predicted = mine.argmax(1)
    agreement = float((predicted == theirs.argmax(1)).mean())
    if labels is None:
        return Quality(None, None, agreement, divergence(theirs, mine), noise)
    top1 = float((predicted == labels).mean())
    return Quality(top1, _standard_error(top1, len(labels)), agreement, divergence(theirs, mine), noise)
