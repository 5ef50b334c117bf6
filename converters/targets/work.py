"""Operators as a cost table sees them: what kind of work, and how much of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod

from converters.layers.kinds import KINDS, kind_of, weights_of
from converters.tflite.graph import TYPE_NAMES, BuiltinOperator, Op, Tensor
from converters.tflite.op_names import op_name

WEIGHT_OPS = tuple(op_name(kind.code) for kind in KINDS.values())


@dataclass(frozen=True)
class Work:
    """One operator.

    Attributes:
        op: operator name, e.g. ``CONV_2D``.
        weights: type of its constant weights, e.g. ``INT8``; empty for operators without.
        activation: type of the activations it reads.
        shape: shape class. Operators with weights: ``dense`` (one output position), ``1x1``, ``kxk``, ``strided``
            (kernels larger than 1x1 or not, any stride above 1), ``grouped``, ``rows`` (of a table); others: empty.
        positions: output positions, batch included.
        rows: output channels.
        depth: multiplications an output value takes; 0 without weights, but for BATCH_MATMUL.
        read: activation values read.
        inputs: activation tensors read.
        symmetric: 0 for a BATCH_MATMUL whose right side has another zero point than 0; 1 for all else.
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
    symmetric: int = 1

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
    kind, weight = kind_of(op), _weight(op)
    if kind is None or weight is None:
        activation = _type(sources[0]) if sources else ""
        positions, read = written // max(rows, 1), sum(map(_size, sources))
        if op.code == BuiltinOperator.GATHER:  # the rest of what it picks from is not touched
            read = min(read, written)
        work = Work(op.name, "", activation, "", positions, rows, 0, read, len(sources))
        return _product(op, work) if op.code == BuiltinOperator.BATCH_MATMUL else work
    source = op.input(kind.site.activation)
    positions, columns = written // max(rows, 1), _size(weight) / max(rows, 1)
    used = kind.work(op, weight.shape, source, positions)
    if used.positions != positions:
        columns = columns * used.positions / max(positions, 1)
    return Work(op.name, _type(weight), _type(source), used.shape, positions, rows, columns, _size(source))


def _product(op: Op, work: Work) -> Work:
    left, right = op.input(0), op.input(1)
    common = left.shape[-2 if getattr(op.options, "adjX", False) else -1] if len(left.shape) > 1 else 1
    return replace(work, depth=max(common, 1), symmetric=int(right.quantization is None or right.zero_point == 0))


def _weight(op: Op) -> Tensor | None:
    found = weights_of(op)
    return found[0] if found and op.outputs and op.outputs[0].shape else None


def _size(tensor: Tensor) -> int:
    return prod(max(n, 1) for n in tensor.shape)


def _type(tensor: Tensor) -> str:
    return TYPE_NAMES.get(tensor.type, str(tensor.type))


def dense_work(
    *, positions: int, columns: int, rows: int, weights: str, as_conv: bool = False, activation: str = "INT8"
) -> Work:
    """A FULLY_CONNECTED, or a 1x1 CONV_2D.

    Args:
        positions: output positions: 1 for a dense layer behind a flat vector.
        columns: inputs.
        rows: outputs.
        weights: ``INT8`` or ``INT4``.
        as_conv: CONV_2D.
        activation: type of what it reads.
    """
    op = "CONV_2D" if as_conv else "FULLY_CONNECTED"
    shape = "dense" if positions == 1 else "1x1"
    return Work(op, weights, activation, shape, positions, rows, columns, positions * columns)


def concat_work(*, positions: int, channels: int, inputs: int = 2, activation: str = "INT8") -> Work:
    """A CONCATENATION of activations to ``channels`` channels."""
    return Work("CONCATENATION", "", activation, "", positions, channels, 0, positions * channels, inputs)


def add_work(*, positions: int, channels: int, activation: str = "INT8") -> Work:
    """An ADD of two activations."""
    return Work("ADD", "", activation, "", positions, channels, 0, 2 * positions * channels, 2)


def gather_work(*, positions: int, channels: int, activation: str = "INT8") -> Work:
    """A GATHER along the channels of activations, as many out as in."""
    return Work("GATHER", "", activation, "", positions, channels, 0, positions * channels)


def lookup_work(*, positions: int, columns: int, weights: str) -> Work:
    """An EMBEDDING_LOOKUP of ``positions`` rows; only these are read."""
    return Work("EMBEDDING_LOOKUP", weights, "INT32", "rows", positions, columns, 0, positions)


def slice_work(*, positions: int, channels: int, rows: int) -> Work:
    """A SLICE of ``rows`` out of ``channels`` channels of int8 activations."""
    return Work("SLICE", "", "INT8", "", positions, rows, 0, positions * channels)


def with_rows(work: Work, rows: int) -> Work:
    """The same operator with fewer or more output channels."""
    follows = work.op == "DEPTHWISE_CONV_2D"  # reads one input channel (or a fixed share) an output channel
    return replace(work, rows=rows, read=round(work.read * rows / work.rows) if follows else work.read)
