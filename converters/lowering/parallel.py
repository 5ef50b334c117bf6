"""``parallel``: every point is an op of its own with its own scales; the form the project is named for.

Per layer: one op for the rows with one point (fused activation), for the other rows one op a point and ADD with the
fused activation, CONCATENATION of the pieces. Points of 1x1 convolutions and dense layers are stored as INT4
FULLY_CONNECTED where that runs fast, the rest as int8 convolutions. The compact form (storage ``int4``) stores every
point of at most 4 bits as INT4, but rows whose points merge as one int8 row; :mod:`converters.lowering.expand` makes
one int8 op a layer of it again and relies on the names given here.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from converters.errors import LoweringError
from converters.layers.layer import Layer
from converters.lowering.form import (
    OP_BYTES,
    ROW_BYTES,
    Form,
    FormCost,
    Request,
    RowOrder,
    Storage,
    Writing,
    restoring_cost,
)
from converters.lowering.ops import concatenation, gather
from converters.lowering.points_writer import PointsWriter, int4_kind, segments_in_order
from converters.lowering.quantized_layer import QuantizedLayer
from converters.lowering.ranges import PartialKey
from converters.lowering.result import EmittedWeight, LoweredLayer
from converters.lowering.split import positions
from converters.targets import Target, add_work, concat_work, dense_work, with_rows, work_of
from converters.tflite.graph import Graph


def lower_parallel(
    graph: Graph,
    quantized: QuantizedLayer,
    ranges: Mapping[PartialKey, tuple[float, float]],
    *,
    storage: Storage = "auto",
    full_width: bool = False,
    restore: np.ndarray | None = None,
) -> LoweredLayer:
    """Replaces each op of the layer by ops for its points.

    Args:
        graph: int8 graph that holds the layer's ops.
        quantized: points; unless ``full_width``, rows with more points come first.
        ranges: calibrated (min, max) of every partial output.
        storage: ``auto`` uses INT4 where it runs fast, ``int8`` never; ``int4`` wherever it runs and ``own`` in
            convolutions and dense layers, and there rows whose points merge become int8 rows.
        full_width: every point covers all rows (zero codes where a row has none), for layers whose rows must stay.
        restore: where the outputs are wanted in another order than the rows', the row to take for each output channel:
            a GATHER, which only files that are not to run as they are can afford on convolutions.

    Raises:
        LoweringError: Rows are not ordered by number of points; codes need more than 8 bits.
    """
    layer, weight = quantized.layer, quantized.weight
    if not full_width and (np.diff(weight.counts) > 0).any():
        raise LoweringError(f"layer {layer.name!r}: rows with more points must come first for the parallel form.")
    segments = segments_in_order(weight.counts, full_width)
    emitted: dict[str, EmittedWeight] = {}
    outputs: list[str] = []
    for number, (use, bias) in enumerate(zip(layer.uses, quantized.biases, strict=True)):
        writer = PointsWriter(quantized, use, bias, number, storage, emitted, ordered=restore is not None)
        pieces = [writer.segment(segment, ranges, len(segments) == 1) for segment in segments]
        if len(pieces) > 1:
            writer.ops.append(concatenation(pieces, writer.target))
        if restore is not None:
            writer.ops.append(gather(f"{writer.prefix}/order", writer.target, restore, use.int8_op.outputs[0]))
        index = graph.ops.index(use.int8_op)
        graph.ops[index : index + 1] = writer.ops
        outputs += [tensor.name for op in writer.ops for tensor in op.outputs]
    return LoweredLayer(layer.name, "parallel", tuple(emitted.values()), tuple(outputs))


class Parallel(Form):
    """Every point an op of its own, rows with more points first."""

    name = "parallel"
    used = "parallel"
    instead = ("fused", "full width")
    plans_refused = True

    def automatic(self, layer: Layer, bits: int, *, merges: bool) -> bool:
        return not merges

    def refuses(self, request: Request) -> str | None:
        if not request.several and request.bits > 4:
            return ""  # one int8 op
        if request.displaced:
            return f"the channel order must stay: {request.frozen}"
        return None

    def order(self, request: Request) -> RowOrder:
        return "sorted" if request.mixed and request.frozen is None else "kept"

    def partials(self, request: Request) -> bool:
        return request.several > 0

    def cost(self, request: Request, target: Target) -> FormCost:
        return points_cost(request, target, "auto")

    def write(self, graph: Graph, quantized: QuantizedLayer, writing: Writing) -> LoweredLayer:
        return lower_parallel(graph, quantized, writing.ranges, storage=writing.storage)


class FullWidth(Form):
    """Every point an op over all rows, zeros where a row has fewer: for rows that must stay and do not merge."""

    name = "full width"
    used = "parallel ops over all rows"
    asked_for = False

    def refuses(self, request: Request) -> str | None:
        return None

    def partials(self, request: Request) -> bool:
        return request.several > 0

    def cost(self, request: Request, target: Target) -> FormCost:
        deepest, channels = max(points for points, _ in request.segments), request.layer.channels
        whole = Request(request.layer, [(deepest, channels)], request.bits, request.merges, request.frozen)
        return points_cost(whole, target, "auto")

    def write(self, graph: Graph, quantized: QuantizedLayer, writing: Writing) -> LoweredLayer:
        return lower_parallel(graph, quantized, writing.ranges, storage=writing.storage, full_width=True)


def points_cost(request: Request, target: Target, storage: Storage) -> FormCost:
    """What points that are ops of their own cost; INT4 convolutions are taken to be as fast as int8 ones."""
    layer, count, uses = request.layer, positions(request.layer), len(request.layer.uses)
    fast: Storage = "auto" if target.supports("FULLY_CONNECTED", "INT4") else "int8"
    storage = fast if storage == "auto" else storage
    size = time = 0.0
    for points, rows in request.segments:
        stored = int4_kind(layer, rows, request.bits, storage)
        if int4_kind(layer, rows, request.bits, fast) is not None:
            dense = dense_work(
                positions=count, columns=layer.columns, rows=rows, weights="INT4", activation=layer.activation
            )
            time += uses * points * target.microseconds(dense)
        else:
            time += points * sum(target.microseconds(with_rows(work_of(use.int8_op), rows)) for use in layer.uses)
        size += points * rows * (layer.columns / (1 if stored is None else 2) + ROW_BYTES)
        time += (
            uses
            * (points - 1)
            * target.microseconds(add_work(positions=count, channels=rows, activation=layer.activation))
        )
        size += (2 * points - 1) * OP_BYTES
    if request.mixed:
        time += uses * target.microseconds(
            concat_work(positions=count, channels=layer.channels, activation=layer.activation)
        )
    behind = restoring_cost(request, target)
    return FormCost(size + behind.bytes, time + behind.microseconds)
