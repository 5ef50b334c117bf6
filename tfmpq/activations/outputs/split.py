"""Outputs that the user wants in parts: each becomes an output of its own, before anything is quantized."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from converters.errors import OptionError
from converters.frontend.float_model import FloatModel
from converters.printable import shown
from converters.rewriting.split_outputs import InseparableError, joined_parts, split_output
from converters.runtime.interpreter import make_interpreter, run
from converters.tflite.graph import Model, Tensor
from converters.tflite.probe import probe
from converters.tflite.reader import load
from converters.tflite.writer import save
from tfmpq.activations.outputs.channel_loss import channel_axes, channel_ranges
from tfmpq.activations.outputs.mend_outputs import output_names
from tfmpq.suspicion.samples import Sample

_GAP = 3.0  # powers of two between kinds of channels
_MOST_KINDS = 4


@dataclass(frozen=True, eq=False)
class SplitModel:
    """A model whose outputs are in parts.

    Attributes:
        float_model: the model.
        notes: what is where, for the user.
    """

    float_model: FloatModel
    notes: Sequence[str]


def split_outputs(float_model: FloatModel, asked: Mapping[str, str], samples: Sequence[Sample]) -> SplitModel:
    """Takes apart the outputs for which ``"split"`` is asked.

    An output that is joined of parts falls into these; one that a single layer makes, into its kinds of channels, told
    by their size. Part i of output ``x`` is output ``x/part{i}``.

    Args:
        float_model: the user's.
        asked: output name -> form.
        samples: some of the data.

    Raises:
        OptionError: An output cannot be taken apart; says why.
    """
    notes = []
    for name in (name for name, form in asked.items() if form == "split"):
        model = load(float_model.flatbuffer)
        tensor = output_names(model)[name]
        axis, places = _places(model, name, tensor, samples)
        parts = {f"{name}/part{i}": part for i, part in enumerate(places)}
        try:
            changed = split_output(model, tensor.name, axis, parts)
        except InseparableError as error:
            raise _refusal(name, str(error)) from error
        float_model = replace(float_model, flatbuffer=save(changed), public_int8=None)
        held = ", ".join(f"{part!r} holds {channel_ranges(where)}" for part, where in parts.items())
        notes.append(f"output {shown(name)} is in {len(parts)} parts, along axis {axis}: {held}")
    return SplitModel(float_model, notes)


def _places(model: Model, name: str, tensor: Tensor, samples: Sequence[Sample]) -> tuple[int, list[np.ndarray]]:
    """The axis of the parts and what each of them holds: channels that are joined, else those of like size."""
    joined = joined_parts(model.graph, tensor)
    interpreter = make_interpreter(probe(model, [tensor]))
    runs = [np.abs(run(interpreter, sample)[0]) for sample in samples]
    for axis in channel_axes(tensor.shape):
        if joined is not None and joined[0] == axis:
            return joined
        size = np.max([np.moveaxis(v, axis, 0).reshape(v.shape[axis], -1).max(axis=1) for v in runs], axis=0)
        kinds = kinds_by_size(size)
        if len(kinds) > 1:
            return axis, kinds
    if joined is None:
        raise _refusal(name, "it is not joined of parts, and all its channels are of like size")
    return joined


def kinds_by_size(size: np.ndarray) -> list[np.ndarray]:
    """Channels whose sizes have no gap of a factor of 8 between them, at most 4 kinds; that of channel 0 first."""
    octaves = np.log2(np.maximum(size, np.finfo(np.float32).tiny))
    order = np.argsort(octaves, kind="stable")
    gaps = np.diff(octaves[order])
    widest = np.sort(np.argsort(-gaps, kind="stable")[: _MOST_KINDS - 1])
    ends = [int(i) + 1 for i in widest if gaps[i] >= _GAP]
    return sorted((np.sort(kind) for kind in np.split(order, ends)), key=lambda kind: int(kind[0]))


def _refusal(name: str, why: str) -> OptionError:
    return OptionError(
        f"outputs={{{name!r}: 'split'}}: the output cannot be taken apart: {why}. 'float' keeps its last steps in "
        "float instead."
    )
