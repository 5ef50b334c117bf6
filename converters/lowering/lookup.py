"""``lookup``: a table as EMBEDDING_LOOKUPs of INT4 or int8 rows.

Rows with one point are INT4 in one table. Where some have a second one, that stands in a table of its own, which ends
in a row of zeros for all others, and an ADD sums what both give; the ids in the second table come from a map with an
entry for each id, as short as the table allows, or need none where the rows with a second point are the first ones.
Where that would not be smaller than int8 rows, and where all rows have their points, the table is one of int8 rows.
(int8 rows for some tokens beside INT4 rows for the others, both with ids of their own, take as many operators, and are
smaller by a scale a row only.)

Ids beyond the table fail in the first lookup as they did before. Sums are those of two float32 numbers, each a code
times its scale: exact up to half a unit in the last place of the result.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from converters.layers.kinds import EMBEDDING
from converters.layers.layer import Layer, Use
from converters.lowering.build import constant_weight
from converters.lowering.form import OP_BYTES, Form, FormCost, Request, Writing
from converters.lowering.ops import add
from converters.lowering.quantized_layer import QuantizedLayer
from converters.lowering.result import EmittedWeight, LoweredLayer
from converters.points import MultipointWeight, Point, merge
from converters.targets import Target, add_work, gather_work, lookup_work
from converters.tflite.graph import NUMPY_TYPES, BuiltinOperator, Graph, Op, Tensor, TensorType
from converters.tflite.new_ops import integers, make_op

# Largest number of rows in a further table -> type of the map's entries, and the version of a GATHER of such
_MAPS = ((255, TensorType.UINT8, 1), (32_767, TensorType.INT16, 4), (2**31 - 1, TensorType.INT32, 1))
SCALE_BYTES = 12  # a float32 scale and an int64 zero point, which the reader wants for every scale
INT4_BITS = 4
_FURTHER = 3  # operators of a further table: its lookup, what makes ids for it, a sum


def map_bytes(rows: int) -> int:
    """Bytes of an entry of the map to a further table of so many rows and one of zeros."""
    return NUMPY_TYPES[_map_type(rows)[0]].itemsize


def _map_type(rows: int) -> tuple[int, int]:
    return next((type_, version) for most, type_, version in _MAPS if rows <= most)


def can_look_up_int4(layer: Layer, bits: int) -> bool:
    """Whether rows are looked up as INT4 codes: the kernel reads rows of an odd length from the wrong place."""
    return layer.kind.table and bits <= INT4_BITS and layer.columns % 2 == 0


class Lookup(Form):
    """EMBEDDING_LOOKUPs, one for each point that rows have."""

    name = "lookup"
    used = "lookups of its rows"
    asked_for = False

    def writes(self, layer: Layer) -> bool:
        return layer.kind.table

    def automatic(self, layer: Layer, bits: int, *, merges: bool) -> bool:
        return True

    def refuses(self, request: Request) -> str | None:
        return None

    def cost(self, request: Request, target: Target) -> FormCost:
        layer, tables = request.layer, _table_rows(request)
        size, time = 0.0, 0.0
        for number, (rows, int4) in enumerate(tables):
            size += rows * (layer.columns / (2 if int4 else 1) + SCALE_BYTES) + (_FURTHER * OP_BYTES if number else 0)
            size += map_bytes(rows) * layer.channels if number and not request.in_place else 0
            for use in layer.uses:
                count = positions_of_ids(use)
                kept = "INT4" if int4 else "INT8"
                time += target.microseconds(lookup_work(positions=count, columns=layer.columns, weights=kept))
                if number:
                    mapped = gather_work(positions=1, channels=count, activation="INT32")
                    summed = add_work(positions=count, channels=layer.columns, activation="FLOAT32")
                    time += target.microseconds(mapped) + target.microseconds(summed)
        return FormCost(size, time)

    def write(self, graph: Graph, quantized: QuantizedLayer, writing: Writing) -> LoweredLayer:
        return lower_lookup(graph, quantized, int4=writing.storage != "int8")


def positions_of_ids(use: Use) -> int:
    """How many rows one of a table's ops looks up."""
    return max(int(np.prod(use.int8_op.outputs[0].shape[:-1], dtype=np.int64)), 1)


def _table_rows(request: Request) -> list[tuple[int, bool]]:
    """Rows of each table, and whether they are INT4."""
    layer, most = request.layer, max(points for points, _ in request.segments)
    int4 = can_look_up_int4(layer, request.bits)
    tables = [(layer.channels, int4)]
    for point in range(1, most):
        tables.append((sum(rows for points, rows in request.segments if points > point) + 1, int4))
    several = request.mixed or most > 1
    if several and request.merges and not is_smaller([rows for rows, _ in tables], layer, int4, request.in_place):
        return [(layer.channels, False)]
    return tables


def is_smaller(tables: list[int], layer: Layer, int4: bool, in_place: bool) -> bool:
    """Whether tables of so many rows, one for each point, take fewer bytes than one of int8 rows."""
    codes = layer.columns / (2 if int4 else 1)
    maps = 0 if in_place else sum(map_bytes(rows) for rows in tables[1:]) * layer.channels
    apart = sum(tables) * (codes + SCALE_BYTES) + maps + (len(tables) - 1) * _FURTHER * OP_BYTES
    return apart < layer.channels * (layer.columns + SCALE_BYTES)


@dataclass(frozen=True)
class _Table:
    """One table of a layer.

    Attributes:
        weight: in the file.
        places: (V,), row of each id in it; None: the id itself.
        prefix: how many ids are themselves and all others its last row; None: as ``places`` says.
    """

    weight: Tensor
    places: Tensor | None = None
    prefix: int | None = None


def lower_lookup(graph: Graph, quantized: QuantizedLayer, *, int4: bool = True) -> LoweredLayer:
    """Replaces each lookup of the layer.

    Args:
        graph: that holds the layer's ops.
        quantized: points.
        int4: whether codes of at most 4 bits are stored as such.
    """
    layer = quantized.layer
    tables, emitted = _tables(quantized.layer, quantized.weight, int4)
    replaced: dict[Op, list[Op]] = {}
    for number, use in enumerate(layer.uses):
        prefix = layer.name if number == 0 else f"{layer.name}#{number}"
        replaced[use.int8_op] = _lookups(use.int8_op, tables, prefix)
    graph.ops = [new for op in graph.ops for new in replaced.get(op, [op])]
    outputs = tuple(op.outputs[0].name for ops in replaced.values() for op in ops)
    return LoweredLayer(layer.name, "lookup", emitted, outputs)


def _tables(layer: Layer, weight: MultipointWeight, int4: bool) -> tuple[list[_Table], tuple[EmittedWeight, ...]]:
    int4 = int4 and can_look_up_int4(layer, weight.bits)
    rows = [np.flatnonzero(weight.counts > p) for p in range(int(weight.counts.max()))]
    in_place = all(_is_prefix(found) for found in rows)
    merged = merge(weight)
    sizes = [len(found) + (p > 0) for p, found in enumerate(rows)]
    if merged is not None and len(rows) > 1 and not is_smaller(sizes, layer, int4, in_place):
        rows, points, int4 = rows[:1], [merged], False
    else:
        points = [Point(p.codes[taken], p.scale[taken]) for p, taken in zip(weight.points, rows, strict=False)]
    tables, emitted = [], []
    for number, (point, taken) in enumerate(zip(points, rows, strict=True)):
        name = f"{layer.name}/rows" + (str(number) if number else "")
        codes, scale = point.codes, point.scale
        if number:
            codes = np.concatenate([codes, np.zeros((1, layer.columns), np.int8)])
            scale = np.concatenate([scale, np.ones(1, np.float32)])
        emitted.append(EmittedWeight(layer.name, name, codes, scale))
        tensor = constant_weight(name, layer.kind, codes, scale, layer.weight.shape, int4=int4)
        tables.append(_placed(tensor, taken, layer.channels) if number else _Table(tensor))
    return tables, tuple(emitted)


def _placed(weight: Tensor, rows: np.ndarray, ids: int) -> _Table:
    if _is_prefix(rows):
        return _Table(weight, prefix=len(rows))
    type_, _ = _map_type(len(rows))
    places = np.full(ids, len(rows), NUMPY_TYPES[type_])
    places[rows] = np.arange(len(rows))
    return _Table(weight, Tensor(f"{weight.name}/map", (ids,), type_, places.tobytes()))


def _is_prefix(rows: np.ndarray) -> bool:
    return np.array_equal(rows, np.arange(len(rows)))


def _lookups(op: Op, tables: list[_Table], prefix: str) -> list[Op]:
    """The lookup of each table, and the ADDs that sum them: small points first."""
    ids, result = op.input(0), op.outputs[0]
    ops: list[Op] = []
    parts: list[Tensor] = []
    for number, table in enumerate(tables):
        part = result if len(tables) == 1 else _like(f"{prefix}/rows{number}/out", result)
        ops += _own_ids(ids, table, f"{prefix}/rows{number}")
        own = ops[-1].outputs[0] if number else ids
        version = EMBEDDING.lookup_version(table.weight)
        ops.append(Op(BuiltinOperator.EMBEDDING_LOOKUP, [own, table.weight], [part], version))
        parts.append(part)
    total = parts[-1]
    for number in range(len(parts) - 2, -1, -1):
        summed = result if number == 0 else _like(f"{prefix}/rows{number}/sum", result)
        ops.append(add(parts[number], total, summed, 0))
        total = summed
    return ops


def _own_ids(ids: Tensor, table: _Table, prefix: str) -> list[Op]:
    """What turns ids into rows of a further table."""
    own = _like(f"{prefix}/ids", ids)
    if table.places is not None:
        type_ = table.places.type
        version = next(version for _, known, version in _MAPS if known == type_)
        found = own if type_ == own.type else replace(own, name=f"{prefix}/place", type=type_)
        ops = [make_op(BuiltinOperator.GATHER, [table.places, ids], [found], version, "GatherOptions", axis=0)]
        if found is not own:
            types = {"inDataType": type_, "outDataType": own.type}
            ops.append(make_op(BuiltinOperator.CAST, [found], [own], 1, "CastOptions", **types))
        return ops
    if table.prefix is None:
        return []
    last = integers(f"{prefix}/last", [table.prefix])
    return [make_op(BuiltinOperator.MINIMUM, [ids, last], [own], 1, "MaximumMinimumOptions")]


def _like(name: str, tensor: Tensor) -> Tensor:
    return Tensor(name, tensor.shape, tensor.type, shape_signature=tensor.shape_signature)
