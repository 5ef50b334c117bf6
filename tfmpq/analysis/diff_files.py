"""The two sides of a comparison: files that are run and looked into."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from converters.errors import DataError, FileFormatError
from converters.frontend.entry_file import entry_first
from converters.frontend.unknown_file import open_file
from converters.layers.counterparts import Step
from converters.runtime import interpreter as runtime
from converters.runtime.activations import Values, make_reader
from converters.runtime.content import read_content
from converters.runtime.interpreter import Kernels, make_interpreter
from converters.runtime.values import IoDetail
from converters.tflite.graph import Tensor
from converters.tflite.reader import load
from converters.tflite.record import METADATA_NAME
from converters.tflite.teacher_forcing import teacher_forced
from tfmpq.names_file import with_found_names

_MOST_SATURATED = 0.5  # of the values of a quantized input
# The delegate keeps no inner tensors, and runs only what is laid open; but some files only run with it.
_KERNELS: tuple[Kernels, ...] = ("builtin", "xnnpack")


class ComparedFile:
    """One file.

    Attributes:
        content: its bytes, with the names of its tensors where they are known.
        label: for messages.
        model: the parsed file.
        inputs: what it is fed.
        written_by_tfmpq: whether a lowering may have reordered its channels.
        kernels: what runs it.
        note: on names that it does not have; "": it has them.
    """

    def __init__(self, source: bytes | str | os.PathLike[str], signature: str | None = None) -> None:
        self.content, self.label = read_content(source)
        try:
            self.content, self.note = with_found_names(source, self.content)
            if signature is not None:
                self.content = entry_first(self.content, signature, label=self.label)
            self.model = load(self.content)
        except FileFormatError as error:
            raise FileFormatError(f"{self.label}: {error}") from error
        self.written_by_tfmpq = METADATA_NAME in self.model.metadata
        self.inputs: tuple[IoDetail, ...] = ()
        self.kernels: Kernels = _KERNELS[0]
        for kernels in _KERNELS:
            try:
                self.inputs = runtime.inputs(open_file(self.content, kernels=kernels, label=self.label))
            except FileFormatError:
                if kernels == _KERNELS[-1]:
                    raise
            else:
                self.kernels = kernels
                break

    def reader(self, steps: Sequence[Step]) -> Any:
        """A function: feeds by input name -> raw values of what the steps write, among others."""
        return make_reader(self.content, self.model, [step.ops[-1] for step in steps], kernels=self.kernels)

    def check_ranges(self, feed: Mapping[str, np.ndarray]) -> None:
        """Refuses samples that are obviously not what the model takes.

        Raises:
            DataError: Most values are beyond a quantized input's range, as pixels are where -1..1 is expected.
        """
        for detail in self.inputs:
            values = np.asarray(feed[detail.name])
            if not detail.scale or not values.size:
                continue
            limits = np.iinfo(detail.dtype)
            low, high = ((limit - detail.zero_point) * detail.scale for limit in (limits.min, limits.max))
            outside = np.count_nonzero((values < low - detail.scale) | (values > high + detail.scale)) / values.size
            if outside > _MOST_SATURATED:
                raise DataError(
                    f"{outside:.0%} of the first sample's values for input '{detail.name}' are outside {low:.3g}.."
                    f"{high:.3g}, the range of {self.label}: give real values, preprocessed as for the float model"
                )


class ForcedFile:
    """A file whose layers are given what they read."""

    def __init__(self, file: ComparedFile, tensors: Sequence[Tensor]) -> None:
        self._tensors = tensors
        self._interpreter = make_interpreter(teacher_forced(file.model, tensors), kernels=file.kernels)
        self._details = runtime.inputs(self._interpreter)
        self._own = {f"input_{i}": detail.name for i, detail in enumerate(file.inputs)}

    def run(self, feed: Mapping[str, np.ndarray], given: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Real values that each tensor's operators compute, given the real values of all of them.

        Args:
            feed: the file's own inputs by name.
            given: real values of every tensor, in order.
        """
        feeds = {}
        for detail in self._details:
            own = self._own.get(detail.name)
            values = given[int(detail.name.removeprefix("cut_"))] if own is None else feed[own]
            # What is no number to the first file, a broken layer say, has no integer either; its sums show it.
            feeds[detail.name] = np.nan_to_num(np.asarray(values)).reshape(detail.shape)
        results = runtime.run(self._interpreter, feeds)
        return [real_values(raw, tensor) for raw, tensor in zip(results, self._tensors, strict=True)]


def real_values(raw: np.ndarray, tensor: Tensor) -> np.ndarray:
    """What an activation's stored values stand for."""
    if tensor.quantization is None or raw.dtype.kind == "f":
        return raw
    return (raw.astype(np.float32) - np.float32(tensor.zero_point)) * np.float32(tensor.scale)


def pair_inputs(first: ComparedFile, second: ComparedFile) -> dict[str, str]:
    """Input name of the first file -> of the second.

    Raises:
        DataError: They have no inputs in common that fit.
    """
    a, b = first.inputs, second.inputs
    if {d.name for d in a} == {d.name for d in b} or len(a) == len(b) == 1:
        by_name = {d.name: d for d in b}
        pairs = [(d, by_name.get(d.name, b[0])) for d in a]
    else:
        pairs = list(zip(a, b, strict=False))  # by position, if that fits
    if len(a) != len(b) or any(x.shape[1:] != y.shape[1:] for x, y in pairs):
        raise DataError(
            f"the files' inputs do not match: {_describe(a)} of {first.label}, {_describe(b)} of {second.label}"
        )
    return {x.name: y.name for x, y in pairs}


def _describe(inputs: Sequence[IoDetail]) -> str:
    return ", ".join(f"'{d.name}' {d.shape} {d.dtype}" for d in inputs)


def values_of(reader: Any, feed: Mapping[str, np.ndarray], steps: Sequence[Step]) -> Iterator[np.ndarray]:
    """Real values of what every step writes, the file running by itself."""
    values: Values = reader(feed)
    return (real_values(values[step.output], step.output) for step in steps)
