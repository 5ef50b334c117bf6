"""Channels that never change: found on a few samples, and named in the report."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice

import numpy as np

from converters.errors import FileFormatError
from converters.layers.kinds import weights_of
from converters.tflite.graph import Model, Op, Tensor, TensorType
from tfmpq.activations.subject import Case
from tfmpq.activations.values.inner_values import Sample, inner_values
from tfmpq.text import plural

_SAMPLES = 32
_SEEN = 256  # values of a channel; of fewer, many a feature that is rare has not shown
_LEAST, _SHARE = 2, 1 / 32  # channels of a layer, and of all of its channels; fewer cost nothing


@dataclass
class _Extremes:
    """Smallest and largest value of each channel, and how many were seen of one."""

    low: np.ndarray
    high: np.ndarray
    count: int = 0


@dataclass(frozen=True, eq=False)
class StillChannels:
    """Channels of a layer that hold one value each.

    Attributes:
        op: the layer's operator.
        still: (channels,) whether it is one.
        zero: (channels,) whether that value is 0.
    """

    op: Op
    still: np.ndarray
    zero: np.ndarray


def dead_channel_notes(case: Case) -> tuple[str, ...]:
    """A line for each layer with weights some of whose channels never change on the samples looked at.

    Args:
        case: the conversion.
    """
    try:
        found = list(still_channels(case.model, islice(case.data.fit(), _SAMPLES)))
    except FileFormatError:  # the model as a whole runs, or later stages say why not
        return ()
    weights = {op: _weights(op) for op in _weighty(case.model)}
    whole = sum(weights.values())
    return tuple(_note(entry, weights[entry.op] / whole, case.layer_names) for entry in found)


def still_channels(model: Model, samples: Iterable[Sample]) -> Iterator[StillChannels]:
    """Channels that never change, of layers with more than a few of them.

    Args:
        model: float.
        samples: a few.

    Raises:
        FileFormatError: The runtime does not run the model.
    """
    written = {op.outputs[0]: op for op in _weighty(model)}
    seen: dict[Tensor, _Extremes] = {}
    for values in inner_values(model, list(written), samples):
        for tensor, value in values.items():
            _see(seen, tensor, value)
    for tensor, extremes in seen.items():
        still = extremes.low == extremes.high
        if extremes.count >= _SEEN and max(_LEAST, _SHARE * still.size) <= int(still.sum()) < still.size:
            yield StillChannels(written[tensor], still, still & (extremes.high == 0))


def _weighty(model: Model) -> list[Op]:
    """Operators whose last axis is that of the channels that constant weights make."""
    ops = (op for op in model.graph.ops if weights_of(op) and len(op.outputs) == 1)
    return [op for op in ops if op.outputs[0].type == TensorType.FLOAT32 and op.outputs[0].shape]


def _weights(op: Op) -> int:
    return sum(int(np.prod(tensor.shape)) for tensor in weights_of(op))


def _see(seen: dict[Tensor, _Extremes], tensor: Tensor, value: np.ndarray) -> None:
    rows = value.reshape(-1, value.shape[-1])
    if not rows.size:
        return
    low, high = rows.min(0), rows.max(0)
    known = seen.setdefault(tensor, _Extremes(low, high))
    known.low, known.high = np.minimum(known.low, low), np.maximum(known.high, high)
    known.count += len(rows)


def _note(entry: StillChannels, share: float, names: Mapping[str, str]) -> str:
    tensor = entry.op.outputs[0].name
    count, zero, all_ = int(entry.still.sum()), int(entry.zero.sum()), entry.still.size
    dead = "all of them 0" if zero == count else f"{zero} of them 0" if zero else "none of them 0"
    part = count / all_
    return (
        f"layer '{names.get(tensor, tensor)}': {count} of {plural(all_, 'channel')} never change on the samples looked "
        f"at, {dead}; {part:.0%} of its weights and multiplications make them ({part * share:.1%} of all weights)"
    )
