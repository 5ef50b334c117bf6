"""Rows of a float table by EMBEDDING_LOOKUP instead of GATHER: the same rows, and low-bit tables have kernels there.

GATHER of an int8 table gives int8 rows with one scale for all; EMBEDDING_LOOKUP takes a scale for every row and int8
or INT4 codes, and gives float rows. It wants int32 ids in a vector, so that they are reshaped in front and the rows
behind.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from dataclasses import replace

from converters.layers.kinds import weights_of
from converters.rewriting.small_constants import is_large
from converters.tflite.graph import BuiltinOperator, Model, Op, Tensor, TensorType
from converters.tflite.new_ops import integers, make_op

_IDS = (TensorType.INT32, TensorType.INT64)


def with_lookups(
    model: Model, chosen: Collection[int] | None = None, *, wanted: Callable[[int], bool] = lambda _: True
) -> Model:
    """The model with every large float table that ids of a graph look up read by EMBEDDING_LOOKUP.

    Args:
        model: a float model; it stays as it is.
        chosen: numbers of the graphs whose tables may change, there and wherever else they are read; None: all.
        wanted: whether rows of so many columns are to be read so. What a layer multiplies with too always is, as its
            rows have scales anyway.
    """
    numbers = range(len(model.graphs)) if chosen is None else chosen
    multiplied = {id(t.data) for graph in model.graphs for op in graph.ops for t in weights_of(op)}
    found = (op.input(0) for i in numbers for op in model.graphs[i].ops if looks_up(op))
    tables = {id(t.data) for t in found if wanted(t.shape[1]) or id(t.data) in multiplied}
    if not tables:
        return model
    graphs = {}
    for graph in model.graphs:
        taken = {op for op in graph.ops if looks_up(op) and id(op.input(0).data) in tables}
        ops = [new for op in graph.ops for new in (_lookup(op) if op in taken else [op])]
        graphs[graph] = replace(graph, ops=ops) if taken else graph
    signatures = [replace(s, graph=graphs[s.graph]) for s in model.signatures]
    return replace(model, graphs=list(graphs.values()), signatures=signatures)


def looks_up(op: Op) -> bool:
    """Whether a GATHER takes rows of a float table that is large enough, by ids that the graph computes."""
    if op.code != BuiltinOperator.GATHER or getattr(op.options, "axis", 0) or getattr(op.options, "batchDims", 0):
        return False
    table, ids = op.input(0), op.input(1)
    if len(table.shape) != 2 or not is_large(table):
        return False
    open_sizes = sum(n < 0 for n in op.outputs[0].shape_signature or ()) > 1
    return ids.data is None and ids.type in _IDS and not open_sizes


def _lookup(gather: Op) -> list[Op]:
    table, ids, result = gather.input(0), gather.input(1), gather.outputs[0]
    count = math.prod(ids.shape)
    known = all(n >= 0 for n in ids.shape_signature or ids.shape)
    ops = []
    if ids.type != TensorType.INT32:
        narrow = Tensor(f"{result.name}/int32", ids.shape, TensorType.INT32, shape_signature=ids.shape_signature)
        types = {"inDataType": ids.type, "outDataType": narrow.type}
        ops.append(make_op(BuiltinOperator.CAST, [ids], [narrow], 1, "CastOptions", **types))
        ids = narrow
    signature = None if known else (-1,)
    if len(ids.shape) != 1:
        flat = Tensor(f"{result.name}/ids", (count,), TensorType.INT32, shape_signature=signature)
        ops.append(_reshape(ids, flat, (-1,)))
        ids = flat
    rows = result
    if len(result.shape) != 2:
        signature = None if known else (-1, table.shape[1])
        rows = Tensor(f"{result.name}/rows", (count, table.shape[1]), result.type, shape_signature=signature)
    lookup = Op(BuiltinOperator.EMBEDDING_LOOKUP, [ids, table], [rows])
    if rows is result:
        return [*ops, lookup]
    return [*ops, lookup, _reshape(rows, result, _target(result))]


def _target(result: Tensor) -> tuple[int, ...]:
    """Shape for the RESHAPE behind: its first size is left open, so that samples can be run together."""
    signature = result.shape_signature or result.shape
    if any(n < 0 for n in signature) or len(signature) < 2:
        return tuple(signature)
    return (-1, *signature[1:])


def _reshape(source: Tensor, result: Tensor, shape: tuple[int, ...]) -> Op:
    wanted = integers(f"{result.name}/shape", shape)
    return make_op(BuiltinOperator.RESHAPE, [source, wanted], [result], 1, "ReshapeOptions", newShape=list(shape))
