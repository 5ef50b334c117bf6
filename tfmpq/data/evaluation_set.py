"""Labelled samples for evaluation: reading and checking them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from converters.errors import DataError
from converters.printable import shown
from tfmpq.files import read_npz

_FREE_LABELS = (
    ": for perplexity they are the next tokens, integers of shape (samples, length); for cosine the outputs that "
    "should come, one array a sample; a function takes any array with samples first"
)
_OTHER_LABELS = (
    ". Labels of other metrics (next tokens, reference outputs) are read by load_labelled(path, class_labels=False), "
    "and judged by evaluate(metric=...) or --metric"
)


@dataclass(frozen=True)
class Labelled:
    """Evaluation data.

    Attributes:
        inputs: input name -> array, samples first. A model with one input takes a single array of any name.
        labels: int64 class numbers, (samples,); for metrics other than top-1 what these take, samples first, such as
            the next tokens (samples, length); None: no labels.
    """

    inputs: Mapping[str, np.ndarray]
    labels: np.ndarray | None

    @property
    def count(self) -> int:
        """Number of samples."""
        return len(next(iter(self.inputs.values())))

    def place(self, row: int) -> str:
        """What a sample is called in messages: by its shard and its number in there, if it is of one."""
        place = getattr(next(iter(self.inputs.values())), "place", "sample {}".format)
        return place(row)


def load_labelled(path: str | os.PathLike[str], *, class_labels: bool = True) -> Labelled:
    """Reads an .npz: ``x`` (or one array for each model input, by its name), samples first, and labels ``y``.

    Args:
        path: of the file.
        class_labels: ``y`` must be class numbers. False, for metrics other than top-1: any array, samples first.

    Raises:
        DataError: Not an .npz, arrays missing, empty, of different lengths, not numbers, or not finite.
    """
    arrays = read_npz(path)
    labels = arrays.pop("y", None)
    if not arrays:
        raise DataError(f"'{path}' holds no samples: save them as np.savez(path, x=..., y=...)")
    return check_labelled(Labelled(arrays, labels), source=f"'{Path(path).name}'", class_labels=class_labels)


def check_labelled(data: Labelled, *, source: str = "the data", class_labels: bool = True) -> Labelled:
    """Checks evaluation data and brings class numbers into form.

    Args:
        data: inputs and labels.
        source: for messages.
        class_labels: as for :func:`load_labelled`.

    Raises:
        DataError: See :func:`load_labelled`.
    """
    if not isinstance(data, Labelled) or not isinstance(data.inputs, Mapping) or not data.inputs:
        raise DataError(f"{source}: {shown(data)} is no tfmpq.Labelled with an array for each input")
    for name, array in data.inputs.items():
        if not hasattr(array, "dtype") or not hasattr(array, "ndim"):
            raise DataError(f"{source}: input {shown(name)} is {shown(array)}, no array of samples")
        if array.dtype.kind not in "biuf" or array.ndim == 0:
            raise DataError(f"{source}: array '{name}' ({array.dtype}, shape {array.shape}) is no array of samples")
        if len(array) == 0:
            raise DataError(f"{source}: array '{name}' is empty")
        if len(array) != data.count:
            raise DataError(f"{source}: array '{name}' has {len(array)} samples, the first array {data.count}")
        if isinstance(array, np.ndarray):
            _check_finite(array, f"{source}: array '{name}'", data)
    labels, wanted = data.labels, "" if class_labels else _FREE_LABELS
    if labels is None:
        return data
    if not isinstance(labels, np.ndarray) or not labels.ndim:
        raise DataError(f"{source}: labels are {shown(labels)}, no array with one entry a sample{wanted}")
    if len(labels) != data.count:
        raise DataError(f"{source}: 'y' has {len(labels)} labels for {data.count} samples{wanted}")
    if class_labels:
        return Labelled(data.inputs, _class_numbers(labels, source, data))
    _check_finite(labels, f"{source}: 'y'", data, wanted)
    return data


def _check_finite(array: np.ndarray, what: str, data: Labelled, wanted: str = "") -> None:
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        sample = int(np.argmin(np.isfinite(array).reshape(len(array), -1).all(axis=1)))
        raise DataError(f"{what} has NaN or infinite values, first in {data.place(sample)}{wanted}")


def _class_numbers(labels: np.ndarray, source: str, data: Labelled) -> np.ndarray:
    flat = labels.reshape(-1) if labels.ndim == 2 and labels.shape[1] == 1 else labels
    if flat.ndim != 1:
        raise DataError(
            f"{source}: 'y' has shape {labels.shape}, but one class number a sample is needed; "
            f"of one-hot labels take argmax(axis=1){_OTHER_LABELS}"
        )
    right = _are_class_numbers(flat)
    if not right.all():
        row = int(np.argmin(right))
        raise DataError(
            f"{source}: 'y' must hold class numbers 0, 1, 2, ..., but is {flat.dtype}: {flat[:5]} ..., and "
            f"{data.place(row)} has {shown(flat[row : row + 1].tolist()[0])}{_OTHER_LABELS}"
        )
    return flat.astype(np.int64)


def _are_class_numbers(labels: np.ndarray) -> np.ndarray:
    """Of every label; of texts at least the first is none, or the first that is not in digits."""
    if labels.dtype.kind not in "biuf":
        digits = np.array([str(label).isdecimal() for label in labels])
        return digits & ~digits.all()
    with np.errstate(invalid="ignore"):  # NaN and infinity, which are found by themselves
        return np.isfinite(labels) & (labels >= 0) & (labels.astype(np.int64) == labels)
