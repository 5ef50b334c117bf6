"""How good a file's outputs are on labelled data, and how close to the float file's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from converters.frontend.unknown_file import open_file
from tfmpq.activations.values.sqnr import sqnr_db
from tfmpq.analysis.divergence import divergence
from tfmpq.analysis.evaluation import predictions
from tfmpq.data.evaluation_set import Labelled

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
    collected = list(predictions(open_file(content), data))
    return [np.concatenate([np.atleast_1d(result[i]) for result in collected]) for i in range(len(collected[0]))]


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
    right = (predicted == labels).astype(float)
    error = float(right.std(ddof=1) / np.sqrt(len(right))) if len(right) > 1 else 0.0
    return Quality(float(right.mean()), error, agreement, divergence(theirs, mine), noise)
