"""What a network is trained for, by its labels: which loss, and which score."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from converters.errors import DataError, OptionError
from tfmpq.data.sample_arrays import describe_shape
from tfmpq.training.output_kinds import Outputs, kinds_of

_CALLER = "training"
_SHARES = 1e-3  # from 1, of labels that are shares of classes: float16 sums


@dataclass(frozen=True)
class Objective:
    """The loss and score of one output.

    Attributes:
        kind: what the output is.
        shape: of one sample's output; None where it is open.
        class_numbers: whether labels of classes are their numbers, or a row of shares each.
        score_name: what the score is called.
    """

    kind: Outputs
    shape: tuple[int | None, ...]
    class_numbers: bool

    @property
    def score_name(self) -> str:
        """Of :meth:`score`."""
        names = {"values": "squared error", "binary": "accuracy", "binary_logits": "accuracy"}
        return names.get(self.kind, "top-1")

    def loss(self) -> Any:
        """The usual loss of Keras."""
        if self.kind == "values":
            return keras.losses.MeanSquaredError()
        if self.kind in ("binary", "binary_logits"):
            return keras.losses.BinaryCrossentropy(from_logits=self.kind == "binary_logits")
        logits = self.kind == "logits"
        if self.class_numbers:
            return keras.losses.SparseCategoricalCrossentropy(from_logits=logits)
        return keras.losses.CategoricalCrossentropy(from_logits=logits)

    def score(self, outputs: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """Of every sample (and position): 1 or 0 for right or wrong; of values the squared error."""
        if self.kind == "values":
            return np.square(outputs.astype(np.float64) - labels)
        if self.kind in ("binary", "binary_logits"):
            middle = 0.5 if self.kind == "binary" else 0.0
            return ((outputs > middle) == (labels > 0.5)).astype(np.float64)
        right = labels if self.class_numbers else labels.argmax(axis=-1)
        return (outputs.argmax(axis=-1) == right).astype(np.float64)

    def is_worse(self, score: float, before: float, samples: int) -> bool:
        """Whether a mean score is worse than one before, by more than two standard errors of shares."""
        if self.kind == "values":
            return score > before
        share = (before * samples + 1) / (samples + 2)  # all right, or all wrong, is no certainty
        return score < before - 2 * math.sqrt(share * (1 - share) / samples)

    def predicted(self, outputs: np.ndarray) -> np.ndarray:
        """Labels that these outputs stand for."""
        if self.kind == "values":
            return outputs
        if self.kind in ("binary", "binary_logits"):
            return (outputs > (0.5 if self.kind == "binary" else 0.0)).astype(np.float32)
        return outputs.argmax(axis=-1)

    def checked(self, labels: np.ndarray, where: str, place: Callable[[int], str] | None = None) -> np.ndarray:
        """Labels as the loss takes them.

        Args:
            labels: samples first.
            where: they are from, for messages.
            place: what a sample is called in messages; None: they are of any samples.

        Raises:
            DataError: They are no real numbers, of another shape, or out of range.
        """
        if labels.dtype.kind not in "biuf":
            raise DataError(f"{where} has labels of type {labels.dtype}, which are no real numbers. {_ADVICE}")
        wanted = self.shape[:-1] if self.class_numbers else self.shape
        labels = _without_units(labels, wanted)
        if not _fits(labels.shape[1:], wanted):
            raise DataError(
                f"{where} has labels of shape {describe_shape(labels.shape[1:])} a sample, and the model's output of "
                f"shape {describe_shape(self.shape)} needs {describe_shape(wanted)}. {_ADVICE}"
            )
        if self.class_numbers:
            return _numbers(labels, self.shape[-1], where, place)
        if self.kind != "values" and (labels.min() < 0 or labels.max() > 1):
            raise DataError(
                f"{where} has labels from {labels.min():g} to {labels.max():g}; the output is probabilities, which "
                "labels from 0 to 1 are for."
            )
        if (
            self.kind in ("probabilities", "logits")
            and (abs(labels.sum(axis=-1, dtype=np.float64) - 1) > _SHARES).any()
        ):
            raise DataError(f"{where} has labels that are shares of classes, and some do not add up to 1.")
        return labels.astype(np.float32)


_ADVICE = (
    "Class numbers are one a sample (or position), shares of classes, yes and no, and values are as many as the output "
    "has units."
)


def objective_of(model: Any, labels: np.ndarray | None, outputs: Outputs | None) -> Objective:
    """What a model of one output is trained for.

    Args:
        model: Keras 3 model.
        labels: of some samples; None: there are none.
        outputs: what the output is; None: as it ends, and as labels say where that is linear.

    Raises:
        OptionError: It cannot be seen what the output is, or the model has several.
    """
    if len(model.outputs) != 1:
        raise OptionError(
            f"model '{model.name}' has {len(model.outputs)} outputs; the command trains models of one. Train it in "
            "Python: tfmpq.training, an ordinary fit."
        )
    shape = tuple(model.outputs[0].shape[1:])
    if not shape:
        raise OptionError(f"model '{model.name}' gives one number a batch, not a sample; there is nothing to train.")
    if outputs is None and labels is not None:
        outputs = _by_labels(model, labels, shape)
    kind = kinds_of(model, outputs, _CALLER)[0]
    classes = kind in ("probabilities", "logits")
    numbers = classes and (labels is None or not _fits(labels.shape[1:], shape))
    return Objective(kind, shape, numbers)


def _by_labels(model: Any, labels: np.ndarray, shape: tuple[int | None, ...]) -> Outputs | None:
    """The kind of a linear output with such labels; None: its own end says it, or nothing does."""
    try:
        kinds_of(model, None, _CALLER)
    except OptionError:
        whole = labels.dtype.kind in "biu"
        if whole and shape[-1] != 1 and _fits(_without_units(labels, shape[:-1]).shape[1:], shape[:-1]):
            return "logits"
        if not whole and _fits(_without_units(labels, shape).shape[1:], shape):
            return "values"
    return None


def _numbers(labels: np.ndarray, classes: int | None, where: str, place: Callable[[int], str] | None) -> np.ndarray:
    with np.errstate(invalid="ignore"):  # of NaN, which is refused below
        numbers = labels.astype(np.int64)
    wrong = (numbers != labels) | (numbers < 0) | (numbers >= (classes or np.inf))
    if wrong.any():
        sample = f" in {place(int(np.argwhere(wrong)[0, 0]))}" if place else ""
        raise DataError(
            f"{where} has the label {labels[wrong].flat[0]:g}{sample}; the model has {classes} classes, whose numbers "
            f"are 0 to {(classes or 1) - 1}."
        )
    return numbers


def _without_units(labels: np.ndarray, wanted: tuple[int | None, ...]) -> np.ndarray:
    """Labels with a last axis of 1 more or less, as they are often kept."""
    if labels.ndim - 1 == len(wanted) + 1 and labels.shape[-1] == 1:
        return labels[..., 0]
    if labels.ndim == len(wanted) and wanted and wanted[-1] == 1:
        return labels[..., None]
    return labels


def _fits(shape: tuple[int, ...], wanted: tuple[int | None, ...]) -> bool:
    return len(shape) == len(wanted) and all(w in (n, None) for n, w in zip(shape, wanted, strict=True))
