"""One output taken apart into several: its parts become outputs of the graph, with scales of their own once quantized.

Where an output is joined of parts, these are there already. Where one layer makes channels of several kinds, its rows
become layers of their own. What only moves values behind it (RESHAPE, TRANSPOSE) is done for each part.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from converters.layers.kinds import kind_of
from converters.rewriting.output_parts import JOINS, along, pulled_back, rows_of
from converters.tflite.graph import BuiltinOperator, Graph, Model, Op, Tensor


class InseparableError(Exception):
    """An output cannot be taken apart; the message says what stands in the way."""


def joined_parts(graph: Graph, output: Tensor) -> tuple[int, list[np.ndarray]] | None:
    """The axis along which an output is joined, and the places on it of each part; None if it is not joined."""
    producers = graph.producers()
    for axis in reversed(range(len(output.shape))):
        tensor, places = output, along(output, axis)
        while (op := producers.get(tensor)) is not None:
            before = pulled_back(op, places)
            if before is None:
                break
            if op.code in JOINS:
                parts = [np.unique(part) for part in before]
                if sum(map(len, parts)) == output.shape[axis]:
                    return axis, parts
                break
            tensor, places = op.input(0), before[0]
    return None


def split_output(model: Model, output: str, axis: int, parts: Mapping[str, np.ndarray]) -> Model:
    """Replaces an output by parts of it, in their order.

    Args:
        model: float; it stays as it is.
        output: name of the output's tensor.
        axis: of the output, along which it is taken apart.
        parts: name of the new output -> places along the axis that it holds.

    Raises:
        InseparableError: An operator computes with values of several parts at once.
    """
    model = model.clone().model
    graph = model.graph
    tensor = next(t for t in graph.outputs if t.name == output)
    places = along(tensor, axis)
    work = _Restriction(graph)
    found = [
        (name, work.part(tensor, places, np.isin(places, kept), f"part{i}"))
        for i, (name, kept) in enumerate(parts.items())
    ]
    made = [part for _, part in found]
    others = [t for t in graph.outputs if t is not tensor]
    if len({*made, *others}) < len(made) + len(others) or any(t not in work.producers for t in made):
        raise InseparableError("a part of it is an output or an input already")
    graph.outputs = [t for old in graph.outputs for t in (made if old is tensor else [old])]
    for signature in model.signatures:
        signature.outputs = [new for old in signature.outputs for new in (found if old[1] is tensor else [old])]
    needed = set(graph.ancestors(graph.outputs))
    graph.ops = [op for op in graph.ops if op in needed or op.code == BuiltinOperator.CALL_ONCE]
    return model


class _Restriction:
    """Operators that compute a part of what others do, added to the graph."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.producers = graph.producers()

    def part(self, tensor: Tensor, places: np.ndarray, wanted: np.ndarray, mark: str) -> Tensor:
        """A tensor that holds the wanted values of another.

        Args:
            tensor: the other.
            places: of its shape, where each of its values stands in the output.
            wanted: of its shape.
            mark: for names.
        """
        if wanted.all():
            return tensor
        op = self.producers.get(tensor)
        if op is None:
            raise InseparableError(f"'{tensor.name}' is an input of the model")
        before = pulled_back(op, places)
        if before is None:
            return self._rows(op, places, wanted, mark)
        kept = np.unique(places[wanted])
        given = [t for t in op.inputs if t is not None and t.data is None]
        if len(given) != len(before):
            raise InseparableError(f"{op.name} has a shape that is computed when the model runs (an open batch size)")
        masks = [np.isin(part, kept) for part in before]
        chosen = [(t, p, m) for t, p, m in zip(given, before, masks, strict=True) if m.any()]
        pieces = [self.part(*piece, mark) for piece in chosen]
        if op.code in JOINS and len(pieces) == 1:
            if op.code == BuiltinOperator.PACK and tensor not in self.graph.outputs:
                raise InseparableError(f"{op.name} is followed by others")
            return pieces[0]
        return self._add(op, pieces, _restricted_shape(op, wanted), mark)

    def _rows(self, op: Op, places: np.ndarray, wanted: np.ndarray, mark: str) -> Tensor:
        rows, kind = rows_of(op, places), kind_of(op)
        if rows is None or kind is None:
            raise InseparableError(f"{op.name} computes with values of several parts")
        taken = wanted.reshape(-1, wanted.shape[-1])[0]
        if kind.per_channel:
            raise InseparableError(f"{op.name} makes a channel of each of its input's")
        weight = op.input(kind.site.weight)
        values = kind.tensor(kind.rows(weight.array())[taken], weight.shape)
        inputs = list(op.inputs)
        inputs[kind.site.weight] = replace(
            weight, name=f"{weight.name}/{mark}", shape=values.shape, data=values.tobytes()
        )
        bias = op.optional_input(kind.site.bias)
        if bias is not None and kind.site.bias is not None:
            numbers = np.ascontiguousarray(bias.array().reshape(-1)[taken])
            inputs[kind.site.bias] = replace(
                bias, name=f"{bias.name}/{mark}", shape=numbers.shape, data=numbers.tobytes()
            )
        source = op.input(kind.site.activation)
        return self._add(replace(op, inputs=inputs), [source], _restricted_shape(op, wanted), mark)

    def _add(self, op: Op, pieces: Sequence[Tensor], shape: tuple[int, ...], mark: str) -> Tensor:
        """The operator on other activations, with constants and options that fit."""
        old, left, options = op.outputs[0], list(pieces), copy.copy(op.options)
        inputs = [left.pop(0) if t is not None and t.data is None and left else t for t in op.inputs]
        if op.code == BuiltinOperator.PACK:
            inputs, options.valuesCount = list(pieces), len(pieces)
        elif op.code == BuiltinOperator.CONCATENATION:
            inputs = list(pieces)
        elif op.code == BuiltinOperator.RESHAPE and len(op.inputs) > 1:
            named = op.input(1)
            sizes = np.where(np.array(shape) == old.shape, named.array(), shape).astype(np.int32)
            inputs[1] = replace(named, name=f"{named.name}/{mark}", data=sizes.tobytes())
            options = None
        signature = old.shape_signature
        if signature is not None:
            signature = tuple(n if s >= 0 else s for n, s in zip(shape, signature, strict=True))
        result = replace(old, name=f"{old.name}/{mark}", shape=shape, shape_signature=signature)
        made = replace(op, inputs=inputs, outputs=[result], options=options)
        if options is None:
            made.options_type = 0
        self.graph.ops.append(made)
        self.producers[result] = made
        return result


def _restricted_shape(op: Op, wanted: np.ndarray) -> tuple[int, ...]:
    """Shape of the wanted values, which lie at some places along one axis."""
    for axis in reversed(range(wanted.ndim)):
        rest = tuple(i for i in range(wanted.ndim) if i != axis)
        line = wanted.any(axis=rest, keepdims=True)
        if np.array_equal(np.broadcast_to(line, wanted.shape), wanted):
            return tuple(int(line.sum()) if i == axis else n for i, n in enumerate(wanted.shape))
    raise InseparableError(f"{op.name} mixes the places of its parts")
