"""What an error in an activation costs where it is read: clipping one value more, or rounding all of them finer."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from converters.layers.channel_rules import width
from converters.layers.kinds import kind_of
from converters.layers.slopes import has_slope, slope
from converters.tflite.graph import Graph, Op, Tensor

_KEEPING = {  # channels, and the size of values
    "MAX_POOL_2D",
    "PAD",
    "PADV2",
    "MIRROR_PAD",
    "RESIZE_BILINEAR",
    "RESIZE_NEAREST_NEIGHBOR",
    "RESHAPE",
    "SQUEEZE",
    "EXPAND_DIMS",
    "TILE",
    "STRIDED_SLICE",
    "SLICE",
    "ADD",
    "SUB",
    "MAXIMUM",
    "MINIMUM",
}


@dataclass(frozen=True, eq=False)
class Reader:
    """One way in which errors of an activation reach what is computed from it.

    Attributes:
        weights: (C,) cost of a squared error of 1, relative to the variance of what it changes.
        through: an elementwise operator in between; its slope at the value scales the error.
        averaged: values that are averaged there. Rounding errors are independent and mostly cancel; clipping errors all
            have one sign and do not.
    """

    weights: np.ndarray
    through: Op | None = None
    averaged: float = 1.0

    def factor(self, values: np.ndarray) -> np.ndarray:
        """What the cost of an error at ``values`` is multiplied with."""
        return np.ones(len(values)) if self.through is None else slope(self.through, values) ** 2


def readers_of(
    graph: Graph, owners: Mapping[str, str], variances: Mapping[Tensor, float]
) -> dict[Tensor, list[Reader]]:
    """All readers of each activation.

    Operators that only hand values on at the same scale are none: what they write has readers of its own, and the same
    errors. Pools that average are, as their results show nothing of what was clipped.

    Args:
        graph: float.
        owners: tensor name -> the tensor whose scale it has, see :func:`converters.frontend.scale_owners.scale_owners`.
        variances: of activations, infinite where nothing varies and errors are not counted; of others 1.
    """
    consumers = graph.consumers()
    reached: dict[Tensor, np.ndarray] = {}  # cost of an error, however it gets to where it matters
    found: dict[Tensor, list[Reader]] = {}
    for tensor in (*(t for op in reversed(graph.ops) for t in op.outputs), *graph.inputs):
        reading = (op for op in consumers.get(tensor, []) if op.outputs)  # not those that store it in a variable
        passes = [(op, _reader(op, tensor, reached, variances)) for op in reading]
        ends = [Reader(_plain(tensor, variances))] if tensor in graph.outputs or not passes else []
        found[tensor] = [*ends, *(reader for op, reader in passes if not _hands_on(op, tensor, owners))]
        reached[tensor] = np.sum([reader.weights for reader in (*ends, *(r for _, r in passes))], axis=0)
    return found


def _hands_on(op: Op, tensor: Tensor, owners: Mapping[str, str]) -> bool:
    shared = owners.get(tensor.name, tensor) == owners.get(op.outputs[0].name)
    return shared and kind_of(op) is None and _averaged(op, tensor) == 1


def _reader(op: Op, tensor: Tensor, reached: Mapping[Tensor, np.ndarray], variances: Mapping[Tensor, float]) -> Reader:
    out = op.outputs[0]
    channels = width(tensor)
    columns = _columns(op, tensor)
    if columns is not None:
        return Reader(columns / variances.get(out, 1.0))
    behind = reached.get(out)
    if behind is None:
        return Reader(_plain(tensor, variances))
    if op.name == "CONCATENATION" and len(behind) != channels:
        return Reader(_part(op, tensor, behind))
    passed = behind if len(behind) == channels else np.full(channels, behind.mean())
    averaged = _averaged(op, tensor)
    if averaged > 1 or op.name in _KEEPING or op.name == "CONCATENATION":
        return Reader(passed, averaged=averaged)
    if has_slope(op):
        return Reader(passed, op)
    if op.name == "MUL":
        return Reader(passed * _other_factor(op, tensor, variances))
    return Reader(_plain(tensor, variances))


def _plain(tensor: Tensor, variances: Mapping[Tensor, float]) -> np.ndarray:
    return np.full(width(tensor), 1 / variances.get(tensor, 1.0))


def _columns(op: Op, tensor: Tensor) -> np.ndarray | None:
    """(C,) sums of squared weights that an input channel meets; None if the operator holds none for this input."""
    kind = kind_of(op)
    if kind is None:
        return None
    channels = width(tensor)
    total: np.ndarray | None = None
    for site in kind.sites:
        weight = op.optional_input(site.weight)
        if op.optional_input(site.activation) is not tensor or weight is None or weight.data is None:
            continue
        rows = np.square(kind.rows(weight.array()).astype(np.float64))
        groups = kind.groups(channels, weight.shape)
        if channels % groups or rows.size % channels:
            return None
        own = rows.reshape(groups, -1, channels // groups).sum(axis=1).reshape(-1)
        total = own if total is None else total + own
    return total


def _part(op: Op, tensor: Tensor, behind: np.ndarray) -> np.ndarray:
    widths = [width(t) for t in op.inputs if t is not None]
    place = op.inputs.index(tensor)
    channels = widths[place]
    if sum(widths) != len(behind):
        return np.full(channels, behind.mean())
    start = sum(widths[:place])
    return behind[start : start + channels]


def _averaged(op: Op, tensor: Tensor) -> float:
    if op.name == "AVERAGE_POOL_2D":
        return float(op.options.filterHeight * op.options.filterWidth)
    if op.name == "MEAN":
        return max(1.0, math.prod(tensor.shape[1:]) / max(1, math.prod(op.outputs[0].shape[1:])))
    return 1.0


def _other_factor(op: Op, tensor: Tensor, variances: Mapping[Tensor, float]) -> np.ndarray | float:
    """Mean square of what a MUL multiplies the tensor with, by channel where that is a constant."""
    others = [t for t in op.inputs if t is not None and t is not tensor]
    if not others or others[0].data is None:
        square = 4 * variances.get(tensor, 1.0) if not others else variances.get(others[0], 1.0)
        return square if math.isfinite(square) else 1.0
    constant = np.square(others[0].array().astype(np.float64))
    fits = constant.size == width(tensor) and constant.shape[-1:] == (width(tensor),)
    return constant.reshape(-1) if fits else float(constant.mean())


def combined(readers: Sequence[Reader]) -> list[Reader]:
    """Readers that weigh alike as one, so that values are counted once for all of them."""
    result: list[Reader] = []
    for reader in readers:
        for number, other in enumerate(result):
            if other.through is reader.through and other.averaged == reader.averaged:
                result[number] = replace(other, weights=other.weights + reader.weights)
                break
        else:
            result.append(reader)
    return result
