"""Operators as a cost table sees them: what kind of work, and how much of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod

from converters.tflite.graph import TYPE_NAMES, Op, Tensor

# Where operators with weights keep activations and weights among their inputs.
_SLOTS = {"CONV_2D": (0, 1), "DEPTHWISE_CONV_2D": (0, 1), "FULLY_CONNECTED": (0, 1), "TRANSPOSE_CONV": (2, 1)}
WEIGHT_OPS = tuple(_SLOTS)


@dataclass(frozen=True)
class Work:
    """One operator.

    Attributes:
        op: operator name, e.g. ``CONV_2D``.
        weights: type of its constant weights, e.g. ``INT8``; empty for operators without.
        activation: type of the activations it reads.
        shape: shape class. Operators with weights: ``dense`` (one output position), ``1x1``, ``kxk``, ``strided``
            (kernels larger than 1x1 or not, any stride above 1), ``grouped``; others: empty.
        positions: output positions, batch included.
        rows: output channels.
        depth: multiplications an output value takes; 0 without weights.
        read: activation values read.
        inputs: activation tensors read.
    """

    op: str
    weights: str
    activation: str
    shape: str
    positions: int
    rows: int
    depth: float
    read: int
    inputs: int = 1

    @property
    def macs(self) -> float:
        """Multiplications."""
        return self.positions * self.rows * self.depth

    @property
    def written(self) -> int:
        """Activation values written."""
        return self.positions * self.rows

    @property
    def values(self) -> int:
        """Activation values read and written."""
        return self.read + self.written


def work_of(op: Op) -> Work:
    """The work of an operator of an int8 or float graph, as it stands in the file (dynamic sizes as 1)."""
    sources = [t for t in op.inputs if t is not None and t.data is None]
    written = sum(_size(t) for t in op.outputs)
    rows = op.outputs[0].shape[-1] if op.outputs and op.outputs[0].shape else 1
    weight = _weight(op)
    if weight is None:
        kind = _type(sources[0]) if sources else ""
        return Work(op.name, "", kind, "", written // max(rows, 1), rows, 0, sum(map(_size, sources)), len(sources))
    source = op.input(_SLOTS[op.name][0])
    positions, columns = written // max(rows, 1), _size(weight) / max(rows, 1)
    if op.name == "TRANSPOSE_CONV":  # every input position meets every weight
        columns = columns * (_size(source) // max(source.shape[-1], 1)) / max(positions, 1)
    shape = _shape(op, weight, source, positions)
    return Work(op.name, _type(weight), _type(source), shape, positions, rows, columns, _size(source))


def _weight(op: Op) -> Tensor | None:
    slots = _SLOTS.get(op.name)
    weight = op.inputs[slots[1]] if slots and len(op.inputs) > max(slots) else None
    return weight if weight is not None and weight.data is not None and op.outputs and op.outputs[0].shape else None


def _shape(op: Op, weight: Tensor, source: Tensor, positions: int) -> str:
    if op.name == "FULLY_CONNECTED":
        return "dense" if positions == 1 else "1x1"
    if max(op.options.strideH, op.options.strideW) > 1:
        return "strided"
    if op.name == "CONV_2D":
        if weight.shape[3] != source.shape[-1]:
            return "grouped"
        if weight.shape[1:3] == (1, 1):
            return "dense" if positions == 1 else "1x1"
    return "kxk"


def _size(tensor: Tensor) -> int:
    return prod(max(n, 1) for n in tensor.shape)


def _type(tensor: Tensor) -> str:
    return TYPE_NAMES.get(tensor.type, str(tensor.type))


def dense_work(*, positions: int, columns: int, rows: int, weights: str, as_conv: bool = False) -> Work:
    """A FULLY_CONNECTED, or a 1x1 CONV_2D, of int8 activations.

    Args:
        positions: output positions: 1 for a dense layer behind a flat vector.
        columns: inputs.
        rows: outputs.
        weights: ``INT8`` or ``INT4``.
        as_conv: CONV_2D.
    """
    op = "CONV_2D" if as_conv else "FULLY_CONNECTED"
    shape = "dense" if positions == 1 else "1x1"
    return Work(op, weights, "INT8", shape, positions, rows, columns, positions * columns)


def concat_work(*, positions: int, channels: int, inputs: int = 2) -> Work:
    """A CONCATENATION of int8 activations to ``channels`` channels."""
    return Work("CONCATENATION", "", "INT8", "", positions, channels, 0, positions * channels, inputs)


def add_work(*, positions: int, channels: int) -> Work:
    """An ADD of two int8 activations."""
    return Work("ADD", "", "INT8", "", positions, channels, 0, 2 * positions * channels, 2)


def gather_work(*, positions: int, channels: int) -> Work:
    """A GATHER along the channels of int8 activations, as many out as in."""
    return Work("GATHER", "", "INT8", "", positions, channels, 0, positions * channels)


def slice_work(*, positions: int, channels: int, rows: int) -> Work:
    """A SLICE of ``rows`` out of ``channels`` channels of int8 activations."""
    return Work("SLICE", "", "INT8", "", positions, rows, 0, positions * channels)


def with_rows(work: Work, rows: int) -> Work:
    """The same operator with fewer or more output channels."""
    follows = work.op == "DEPTHWISE_CONV_2D"  # reads one input channel (or a fixed share) an output channel
    return replace(work, rows=rows, read=round(work.read * rows / work.rows) if follows else work.read)
