"""Outputs whose channels differ in size: rows of the layers that make them scaled, and the values scaled back behind.

A layer whose rows are divided by f_c writes channels of like size, which one int8 scale holds; a MUL by f_c follows,
which stays in float. Powers of two round nothing, so that the float model computes what it did, bit by bit.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from converters.layers.kinds import kind_of
from converters.tflite.graph import BuiltinOperator, Graph, Model, Op, Tensor, TensorType, schema
from converters.tflite.new_ops import make_op

_RESHAPES = {BuiltinOperator.RESHAPE, BuiltinOperator.SQUEEZE, BuiltinOperator.EXPAND_DIMS}
JOINS = {BuiltinOperator.CONCATENATION, BuiltinOperator.PACK}
_SHAPES_ONLY = {BuiltinOperator.SHAPE, BuiltinOperator.RANK}
_HOMOGENEOUS = {BuiltinOperator.RELU, BuiltinOperator.LEAKY_RELU}  # m(f y) = f m(y) for f > 0
_NONE, _RELU = schema.ActivationFunctionType.NONE, schema.ActivationFunctionType.RELU


@dataclass(frozen=True, eq=False)
class Rows:
    """A layer that makes a part of a tensor.

    Attributes:
        op: the layer.
        channels: (rows,), the channel of the tensor that each row makes.
    """

    op: Op
    channels: np.ndarray


def rows_behind(graph: Graph, tensor: Tensor, axis: int) -> list[Rows] | None:
    """The layers that make all values of a tensor, with nothing behind them that needs the scale of a channel.

    Values may be moved (RESHAPE, TRANSPOSE, heads side by side) and go through RELU and LEAKY_RELU.

    Args:
        graph: float.
        tensor: written in ``graph``, and its channels lie along ``axis``.
        axis: of the tensor.

    Returns:
        None where a channel is not made by whole rows of layers, or these layers have other readers.
    """
    rows = []
    for op, channels in _sources(graph, tensor, along(tensor, axis)):
        found = None if op is None else rows_of(op, channels)
        if op is None or found is None:
            return None
        rows.append(Rows(op, found))
    return rows if len({entry.op for entry in rows}) == len(rows) else None


def scale_rows(model: Model, tensor: str, axis: int, factors: np.ndarray) -> Model:
    """Divides the rows of the layers that make a tensor, and multiplies the values by the same factors behind it.

    The product takes the tensor's name and readers.

    Args:
        model: float; it stays as it is.
        tensor: name of a tensor for which :func:`rows_behind` finds layers.
        axis: along which its channels lie.
        factors: (channels,), positive.
    """
    model = model.clone().model
    graph = model.graph
    target = next(t for op in graph.ops for t in op.outputs if t.name == tensor)
    rows = rows_behind(graph, target, axis)
    assert rows is not None, tensor
    known: dict[tuple[Tensor, bytes], Tensor] = {}  # heads may share their weights
    for entry in rows:
        _divide(entry.op, factors[entry.channels].astype(np.float64), known)
    product = replace(target)
    target.name = f"{tensor}/scaled"
    for op in graph.ops:
        op.inputs = [product if t is target else t for t in op.inputs]
    position = next(i for i, op in enumerate(graph.ops) if target in op.outputs)
    graph.ops.insert(position + 1, _multiply(target, axis, factors, product))
    graph.outputs = [product if t is target else t for t in graph.outputs]
    for signature in model.signatures:
        signature.outputs = [(name, product if t is target else t) for name, t in signature.outputs]
    return model


def along(tensor: Tensor, axis: int) -> np.ndarray:
    """Of the tensor's shape: the place of every value along an axis."""
    shape = [1] * len(tensor.shape)
    shape[axis] = tensor.shape[axis]
    return np.broadcast_to(np.arange(tensor.shape[axis]).reshape(shape), tensor.shape)


def pulled_back(op: Op, values: np.ndarray) -> list[np.ndarray] | None:
    """Values of what an operator writes, at the places in its inputs that they come from; None if it does not move.

    Args:
        op: a RESHAPE, TRANSPOSE, CONCATENATION ...
        values: of the shape of its output.

    Returns:
        An array for each of its activations.
    """
    given = [t for t in op.inputs if t is not None and t.data is None]
    if op.code in _RESHAPES and _size(op.input(0)) == values.size:
        return [values.reshape(op.input(0).shape)]
    if op.code == BuiltinOperator.TRANSPOSE and op.input(1).data is not None:
        return [np.transpose(values, np.argsort(op.input(1).array()))]
    if op.code in JOINS and len(given) == len(op.inputs) and _activation(op) == _NONE:
        axis: int = op.options.axis
        if op.code == BuiltinOperator.PACK:
            return [np.take(values, i, axis) for i in range(len(given))]
        ends = np.cumsum([t.shape[axis] for t in given])
        return np.split(values, ends[:-1], axis) if ends[-1] == values.shape[axis] else None
    return [values] if op.code in _HOMOGENEOUS else None


def _sources(graph: Graph, tensor: Tensor, channels: np.ndarray) -> Iterator[tuple[Op | None, np.ndarray]]:
    """What makes the values of a tensor, with the channel of each value it makes; None: cannot be told apart."""
    producers, consumers = graph.producers(), graph.consumers()
    stack = [(tensor, channels)]
    while stack:
        current, part = stack.pop()
        op = producers.get(current)
        readers = [reader for reader in consumers.get(current, ()) if reader.code not in _SHAPES_ONLY]
        shared = current is not tensor and (len(readers) != 1 or current in graph.outputs)
        if op is None or shared:
            yield None, part
            continue
        before = pulled_back(op, part)
        # Parts with other channels are joined: each part may have a scale of its own without more ado.
        if before is None or len({tuple(np.unique(p)) for p in before}) > 1:
            yield op, part
            continue
        stack += zip((t for t in op.inputs if t is not None and t.data is None), before, strict=False)


def rows_of(op: Op, channels: np.ndarray) -> np.ndarray | None:
    """The channel that each row of a layer makes; None where it is none, or a row makes several.

    Args:
        op: any operator.
        channels: of the shape of what it writes.
    """
    kind = kind_of(op)
    if kind is None or len(kind.sites) != 1 or _activation(op) not in (_NONE, _RELU):
        return None
    weight, bias = op.input(kind.site.weight), op.optional_input(kind.site.bias)
    if any(t is not None and (t.data is None or t.type != TensorType.FLOAT32) for t in (weight, bias)):
        return None
    by_row = channels.reshape(-1, channels.shape[-1])
    if weight.shape[kind.row_axis] != by_row.shape[1] or (by_row != by_row[0]).any():
        return None
    return by_row[0]


def _divide(op: Op, factors: np.ndarray, known: dict[tuple[Tensor, bytes], Tensor]) -> None:
    kind = kind_of(op)
    assert kind is not None
    for place in (kind.site.weight, kind.site.bias):
        tensor = op.optional_input(place)
        if place is None or tensor is None:
            continue
        key = (tensor, factors.tobytes())
        if key not in known:
            weight = place == kind.site.weight
            rows = kind.rows(tensor.array()) if weight else tensor.array().reshape(-1, 1)
            values = (rows / factors[:, None]).astype(np.float32)
            changed = kind.tensor(values, tensor.shape) if weight else values
            known[key] = replace(tensor, data=changed.tobytes())
        op.inputs[place] = known[key]


def _multiply(tensor: Tensor, axis: int, factors: np.ndarray, product: Tensor) -> Op:
    shape = [1] * len(tensor.shape)
    shape[axis] = len(factors)
    name = f"{product.name}/scale"
    constant = Tensor(name, tuple(shape), TensorType.FLOAT32, factors.astype(np.float32).tobytes())
    return make_op(BuiltinOperator.MUL, [tensor, constant], [product], 1, "MulOptions")


def _activation(op: Op) -> int:
    return getattr(op.options, "fusedActivationFunction", _NONE)


def _size(tensor: Tensor) -> int:
    return int(np.prod(tensor.shape))
