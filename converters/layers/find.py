"""Finds the weight layers of a model: the float graph and its int8 twin matched operator by operator."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import prod
from types import MappingProxyType

import numpy as np

from converters.errors import ModelError
from converters.layers.kinds import DENSE, LEAST_DYNAMIC, Site, WeightKind, kind_of
from converters.layers.layer import Layer, Skipped, Use
from converters.layers.lstm_gates import fixed_codes, is_lstm
from converters.layers.names import LayerNames, name_ops
from converters.layers.twins import twin_ops
from converters.tflite.graph import BuiltinOperator, Graph, Op, Tensor, TensorType

SHAPES_ONLY = {BuiltinOperator.SHAPE, BuiltinOperator.RANK}  # what they read does not reach what they write
# What they look up comes from a table: the index is no signal. Operator -> slot of the table.
_LOOKUPS = {BuiltinOperator.GATHER: 0, BuiltinOperator.EMBEDDING_LOOKUP: 1}
_RECURRENT = "its kernels take one scale a matrix and 8 bits only"
_AS_IS = "it stays as TensorFlow converts it"
_MIN_CONSTANT = 64  # smaller float constants (axes, scalars, norms) are not worth a line in the report


def find_layers(
    float_graph: Graph,
    int8_graph: Graph,
    *,
    names: LayerNames = LayerNames(),  # noqa: B008 (frozen)
    stays: Mapping[bytes, str] = MappingProxyType({}),
) -> tuple[list[Layer], list[Skipped]]:
    """Matches the two graphs and lists what tfmpq can quantize and what it must leave.

    Args:
        float_graph: the float flatbuffer's main graph.
        int8_graph: the main graph of its stock int8 twin.
        names: what the user calls the layers of the float model.
        stays: data of float weights that the twin was to leave in float -> why.

    Raises:
        ModelError: Weights are not finite.
    """
    matched = twin_ops(float_graph, int8_graph)
    weighty = [float_op for float_op, _ in matched if _holds_weights(float_op)]
    called = name_ops(weighty, names)
    found: dict[object, Layer] = {}  # by identity of the float weight: shared weights are one layer
    skipped: list[Skipped] = []
    for float_op, int8_op in matched:
        if float_op not in called:
            continue
        kind = kind_of(float_op)
        if kind is None:
            skipped.append(Skipped(called[float_op], float_op.name, _no_kind(float_op, int8_op)))
            continue
        for site in kind.sites:
            reason = stays.get(float_op.input(site.weight).data or b"") or _unsupported(kind, site, float_op, int8_op)
            if int8_op is None or reason is not None:
                skipped.append(Skipped(called[float_op], float_op.name, str(reason)))
                continue
            layer = _layer(kind, site, called[float_op], float_op, int8_op)
            key: object = float_op.input(site.weight)
            key = next((k for k, x in found.items() if _is_tied(x, layer)), key)
            first = found.get(key)
            joined = layer if first is None else _joined(first, layer)
            if joined is not None:
                found[key] = joined
            else:
                found[float_op, site] = layer
    return _unique(_mark_ends(list(found.values()), float_graph)), skipped


def _is_tied(first: Layer, second: Layer) -> bool:
    """Whether one is a table and the other multiplies with the same buffer of the file, if by a tensor of its own."""
    a, b = (layer.uses[0].float_op.input(layer.site.weight) for layer in (first, second))
    tied = first.kind.table != second.kind.table and DENSE in (first.kind, second.kind)
    return tied and a.data is b.data and a.shape == b.shape


def _joined(first: Layer, second: Layer) -> Layer | None:
    """One layer of two that have their weight in common; None where they use it in different ways.

    A table that a dense layer multiplies with too (a language model's, tied to its output) is a layer of that kind,
    named as the table is, which the ids find first.
    """
    table, dense = (first, second) if first.kind.table else (second, first)
    if table.kind.table and dense.kind is DENSE:
        return replace(dense, name=first.name, lookups=table.uses + dense.lookups)
    if first.kind is not second.kind or (first.geometry, first.groups) != (second.geometry, second.groups):
        return None
    return replace(first, uses=first.uses + second.uses)


def _holds_weights(op: Op) -> bool:
    """Whether the op computes with constants that are worth a line in the report."""
    if kind_of(op) is not None:
        return True
    if op.code == BuiltinOperator.WHILE:  # states that a loop starts with
        return False
    # An elementwise op or a gather may hold constants; only matrix-like float ones are "weights".
    large = [t for t in op.inputs if t is not None and t.data is not None and t.type == TensorType.FLOAT32]
    return any(np.prod(t.shape) >= _MIN_CONSTANT and sum(n > 1 for n in t.shape) >= 2 for t in large)


def _no_kind(op: Op, twin: Op | None) -> str:
    """Why an op with constants gets no points."""
    if op.code == BuiltinOperator.GATHER:
        if twin is not None and twin.outputs[0].type == TensorType.FLOAT32:
            return (
                "the table stays as in stock, int8 with one scale for all rows, or float if it has fewer than "
                f"{LEAST_DYNAMIC:,} numbers: rows of their own scales would take more bytes"
            )
        return (
            "the table's rows are int8 with one scale for all, as in stock; activations='float' looks up rows of their "
            "own scales and fewer bits, in tables of 1,024 numbers or more where that takes fewer bytes"
        )
    if is_lstm(op):
        left = fixed_codes(op, twin)
        codes = "codes are chosen by output error at these scales" if left is None else f"{_AS_IS}: {left}"
        return f"{_RECURRENT}; {codes}"
    return f"{op.name} has no multipoint form; {_AS_IS}"


def _unsupported(kind: WeightKind, site: Site, float_op: Op, int8_op: Op | None) -> str | None:
    """Why the weight stays as stock has it; None if it is supported."""
    if float_op.input(site.weight).data is None:
        return "its weight is computed by the graph, not a constant"
    if int8_op is None:
        return "TensorFlow rewrites it while quantizing: no operator of the int8 file has its weights"
    twin = int8_op.input(site.weight)
    readable = not kind.scaled_input or int8_op.input(site.activation).type in (TensorType.INT8, TensorType.FLOAT32)
    if twin.type == TensorType.FLOAT32 and int8_op.input(site.activation).type == TensorType.FLOAT32:
        few = f"weights of fewer than {LEAST_DYNAMIC:,} numbers stay in float beside float activations"
        return kind.stays_float or (few if prod(twin.shape) < LEAST_DYNAMIC else "TensorFlow leaves it in float")
    if twin.type != TensorType.INT8 or not readable:
        return "TensorFlow leaves it in float"
    if twin.quantization is None or twin.quantization.zero_point.any():
        return "its stock weights are not symmetric int8"
    return None


def _layer(kind: WeightKind, site: Site, name: str, float_op: Op, int8_op: Op) -> Layer:
    tensor = float_op.input(site.weight)
    weight = kind.rows(tensor.array()).astype(np.float32, copy=False)
    bias = np.zeros(len(weight), np.float32)
    given = float_op.optional_input(site.bias)
    if given is not None:
        bias = given.array().astype(np.float32).reshape(-1)
    for what, values in (("weight", weight), ("bias", bias)):
        if not np.isfinite(values).all():
            channel = int(np.argwhere(~np.isfinite(values.reshape(len(weight), -1)).all(1))[0, 0])
            raise ModelError(
                f"layer {name!r} ({float_op.name}): {what} has NaN or Inf at channel {channel}; quantization needs "
                "finite weights. Check the checkpoint."
            )
    groups = kind.groups(float_op.input(site.activation).shape[-1], tensor.shape)
    use = Use(float_op, int8_op, bias, site)
    return Layer(name, kind, weight, groups, kind.geometry(float_op, tensor.shape), (use,))


def _mark_ends(layers: list[Layer], graph: Graph) -> list[Layer]:
    """Marks layers that read a graph input, and those that make an output.

    An output is made by the layers from which it is reached without another layer, with one exception: where several
    activations meet on the way (a residual sum) and a layer reads on from there, the branches are ordinary layers. An
    encoder without a head would else consist of last layers.
    """
    by_op = {use.float_op: i for i, layer in enumerate(layers) for use in layer.uses if not layer.kind.table}
    producers = graph.producers()

    def one_layer(tensors: Sequence[Tensor]) -> bool:
        """Whether one layer writes them all: of an activation held as two tensors it makes two, which are added."""
        writers = {by_op.get(producers[t]) if t in producers else None for t in tensors}
        return len(writers) == 1 and None not in writers

    def nearest(tensors: Sequence[Tensor], *, alone: bool = False) -> set[int]:
        """Layers that ``tensors`` are reached from; ``alone``: by nothing that other activations take part in."""
        hit: set[int] = set()
        stack, seen = list(tensors), set()
        while stack:
            op = producers.get(stack.pop())
            if op is None or op in seen or op.code in SHAPES_ONLY:
                continue
            seen.add(op)
            if op in by_op:
                hit.add(by_op[op])
            else:
                inputs = [t for t in op.inputs if t is not None and t.data is None]
                stack += inputs if not alone or len(inputs) == 1 or one_layer(inputs) else []
        return hit

    read_on = set[int]().union(*(nearest([use.float_input]) for layer in layers for use in layer.uses))
    last = nearest(graph.outputs, alone=True) | (nearest(graph.outputs) - read_on)
    starts = set(graph.inputs)
    result = []
    for i, layer in enumerate(layers):
        sources = [use.float_input for use in layer.uses]
        first = not layer.kind.table and not nearest(sources) and any(_reaches(s, starts, producers) for s in sources)
        result.append(replace(layer, is_first=first, is_last=i in last))
    return result


def _reaches(tensor: Tensor, starts: set[Tensor], producers: dict[Tensor, Op]) -> bool:
    stack, seen = [tensor], set()
    while stack:
        current = stack.pop()
        if current in starts:
            return True
        if current in producers and current not in seen:
            seen.add(current)
            op = producers[current]
            table = _LOOKUPS.get(op.code)
            stack += [t for t in (op.inputs if table is None else op.inputs[table : table + 1]) if t is not None]
    return False


def _unique(layers: list[Layer]) -> list[Layer]:
    """A layer of several ops (SeparableConv, attention) gives names that clash: add what tells them apart."""
    clashes = {name for name, n in Counter(layer.name for layer in layers).items() if n > 1}
    seen: Counter[str] = Counter()
    result = []
    for layer in layers:
        name = layer.name
        if name in clashes:
            name = f"{name}:{layer.kind.name}"
            seen[name] += 1
            name = name if seen[name] == 1 else f"{name}:{seen[name]}"
        result.append(replace(layer, name=name))
    return result
