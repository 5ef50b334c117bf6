"""Which fields of a record are a model's inputs and its label, and what they become."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from converters.errors import DataError
from tfmpq.data.images import IMAGE_SUFFIXES, image_decoder
from tfmpq.data.preprocessing import Preprocessing
from tfmpq.data.sample_arrays import describe
from tfmpq.files import NPY_MAGIC, array_of

if TYPE_CHECKING:
    from converters.frontend.float_model import InputSpec

Record = Mapping[str, Any]  # field -> bytes, a number, or an array
Choose = Callable[[Sequence[str]], Sequence[str]]  # all fields of a record -> those that are to be read

LABELS = ("y", "label", "labels", "cls", "class", "image/class/label")
# What the one input of a model is called by those who do not know the model.
_USUAL = ("x", "image", "image/encoded", "npy", *(suffix[1:] for suffix in IMAGE_SUFFIXES))


@dataclass(frozen=True)
class Fields:
    """Fields of a record.

    Attributes:
        inputs: the model's inputs -> the field of each.
        label: the field of the label; None: there is none, or nobody asks.
    """

    inputs: Mapping[str, str]
    label: str | None

    @property
    def names(self) -> tuple[str, ...]:
        """Of all that are read."""
        return (*self.inputs.values(), *(() if self.label is None else (self.label,)))


class Decoder:
    """Turns records into samples.

    Args:
        what: the shards, for messages.
        inputs: the model's inputs.
        preprocessing: of images; None is an error at the first of them.
        labelled: every sample must have a label, or none may have one; None: nobody asks.
    """

    def __init__(
        self,
        what: str,
        inputs: Sequence[InputSpec],
        preprocessing: Preprocessing | None,
        *,
        labelled: bool | None = None,
    ) -> None:
        self._what, self._inputs, self._preprocessing = what, inputs, preprocessing
        self._labelled = labelled
        self._known: dict[tuple[str, ...], Fields] = {}
        self._image: Callable[[Path | IO[bytes], str], np.ndarray] | None = None

    def choose(self, names: Sequence[str]) -> Sequence[str]:
        """The fields of a record that are to be read.

        Raises:
            DataError: An input, or the label, is none of them; or there is a label where none may be.
        """
        return self._fields(tuple(names)).names

    def choose_label(self, names: Sequence[str]) -> Sequence[str]:
        """As :meth:`choose`, without the inputs."""
        label = self._fields(tuple(names)).label
        return () if label is None else (label,)

    def _fields(self, names: tuple[str, ...]) -> Fields:
        if names not in self._known:
            self._known[names] = choose_fields(names, self._inputs, labelled=self._labelled)
        return self._known[names]

    def inputs(self, record: Record, names: Sequence[str], where: str) -> dict[str, np.ndarray]:
        """The value of every input, as :func:`tfmpq.data.sample_arrays.read_item` takes them.

        Args:
            record: the chosen fields.
            names: all fields that there are.
            where: for messages.
        """
        found = {}
        for spec in self._inputs:
            field = self._fields(tuple(names)).inputs[spec.name]
            found[spec.name] = self._value(record[field], spec, f"{where}, field '{field}'")
        return found

    def label(self, record: Record, names: Sequence[str], where: str) -> np.ndarray:
        """The label: a class number, or whatever array is there."""
        field = self._fields(tuple(names)).label
        assert field is not None, names
        value = record[field]
        if not isinstance(value, bytes):
            array = np.asarray(value)
            is_number = array.dtype.kind in "iu" and array.size == 1  # a list of one, as TFRecords have it
            return array.reshape(()) if is_number else array
        if value.startswith(NPY_MAGIC):
            return _array(value, f"{where}, field '{field}'")
        try:
            return np.asarray(int(value))
        except ValueError as error:
            raise DataError(
                f"{where}, field '{field}' is {value[:20]!r}, no class number. Write it in digits, or as an .npy."
            ) from error

    def _value(self, value: Any, spec: InputSpec, where: str) -> np.ndarray:
        if is_image(value):
            if self._image is None:
                self._image = image_decoder(self._what, self._inputs, self._preprocessing)
            return self._image(io.BytesIO(value), f"in {where}")
        array = _array(value, where) if isinstance(value, bytes) else np.asarray(value)
        shape = spec.shape[1:]
        sizes = [n for n in shape if n is not None]
        # Lists of numbers, which most of these formats hold, have lost their shape.
        if array.ndim == 1 and len(sizes) == len(shape) > 1 and math.prod(sizes) == array.size:
            return array.reshape(sizes)
        return array


def choose_fields(names: Sequence[str], inputs: Sequence[InputSpec], *, labelled: bool | None) -> Fields:
    """Finds a model's inputs, and the label if it is ``labelled``, among the fields of a record.

    Each input is the field of its name. The only input of a model may also be the only field that is no label, or one
    under a usual name, such as ``image``.

    Raises:
        DataError: An input, or the label, is none of them; or there is a label where none may be (``labelled`` False).
    """
    found = {spec.name: next((n for n in (spec.name, *spec.aliases) if n in names), None) for spec in inputs}
    if len(inputs) == 1 and None in found.values():
        others = [name for name in names if name not in LABELS]
        usual = [name for name in others if name in _USUAL]
        found = {inputs[0].name: next((few[0] for few in (others, usual) if len(few) == 1), None)}
    known = {name: field for name, field in found.items() if field is not None}
    shown = ", ".join(map(repr, names)) or "none"
    if len(known) < len(inputs):
        missing = next(name for name in found if name not in known)
        raise DataError(
            f"its fields are {shown}, and none of them is input '{missing}' of the model: {describe(inputs)}. Call it "
            "that, or give package.module:FUNCTION, which yields samples."
        )
    label = next((name for name in LABELS if name in names and name not in known.values()), None)
    if labelled and label is None:
        raise DataError(f"its fields are {shown}, and none of them is a label. Call it 'y' or 'label'.")
    if labelled is False and label is not None:
        raise DataError(
            f"its field '{label}' is a label, and the first sample has none. Give all samples labels, or none of them."
        )
    return Fields(known, label if labelled else None)


def usual_fields(names: Sequence[str]) -> Sequence[str]:
    """The fields that are most likely the input, where the model is not known yet."""
    return [name for name in names if name in _USUAL]


def is_image(value: Any) -> bool:
    """Whether a value can be nothing but an image."""
    return isinstance(value, bytes) and not value.startswith(NPY_MAGIC)


def _array(value: bytes, where: str) -> np.ndarray:
    try:
        return array_of(value)
    except ValueError as error:
        raise DataError(f"{where} is no .npy array: {error}. Write it with np.save.") from error
