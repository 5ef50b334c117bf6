"""``compact``: one-point rows of at most 4 bits stored as INT4, for :func:`converters.lowering.expand.expand` at load.

The smallest file for networks of 3x3 convolutions, and slow as it is: expanded in memory it is the fused file. Rows
with several points are int8 rows where they merge: as so many INT4 rows they would take more bytes. Where they do not
merge, every point is an INT4 row of its own.
"""

from __future__ import annotations

from dataclasses import replace

from converters.layers.layer import Layer
from converters.lowering.form import (
    OP_BYTES,
    ROW_BYTES,
    Form,
    FormCost,
    Request,
    RowOrder,
    Writing,
    int8_cost,
    mixed_bytes,
    restoring_bytes,
    restoring_cost,
)
from converters.lowering.parallel import lower_parallel, points_cost
from converters.lowering.points_writer import int4_kind
from converters.lowering.quantized_layer import QuantizedLayer
from converters.lowering.result import LoweredLayer
from converters.targets import Target
from converters.tflite.graph import Graph


class Compact(Form):
    """INT4 wherever a kernel runs it; rows that must stay are put back by a GATHER where that is smaller than int8."""

    name = "compact"
    used = "compact"
    instead = ("fused", "full width")
    plans_refused = True

    def lacking(self, target: Target) -> str | None:
        if target.stated is None:
            return None
        return (
            "its files are made small for a processor that expands them when it loads them. Use lowering='auto', or "
            "target='xnnpack'."
        )

    def refuses(self, request: Request) -> str | None:
        if not request.several:
            return "" if request.bits > 4 else None  # one int8 op
        stays = f"the channel order must stay: {request.frozen}"
        if request.displaced and not self.restores(request.layer):
            return stays
        if not request.merges:
            return stays if request.displaced else None
        if _smaller(request):
            return None
        return stays if request.displaced and _smaller(replace(request, in_place=True)) else ""

    def restores(self, layer: Layer) -> bool:
        return not layer.kind.per_channel and layer.kind.has_int4 and not layer.full_width

    def order(self, request: Request) -> RowOrder:
        if not request.mixed:
            return "kept"
        if request.displaced:
            return "restored"
        return "sorted" if request.frozen is None else "kept"

    def partials(self, request: Request) -> bool:
        return request.several > 0 and not request.merges

    def cost(self, request: Request, target: Target) -> FormCost:
        if not request.merges:
            return points_cost(request, target, "int4")
        # The time is that of the expansion, in which only what is put back at a later tensor is still out of order.
        behind = 0.0 if request.displaced else restoring_cost(request, target).microseconds
        return FormCost(_bytes(request), int8_cost(request, target).microseconds + behind)

    def recorded(self, request: Request) -> str:
        return self.name if self.order(request) == "restored" else "parallel"

    def write(self, graph: Graph, quantized: QuantizedLayer, writing: Writing) -> LoweredLayer:
        return lower_parallel(graph, quantized, writing.ranges, storage="int4", restore=writing.restore)


def _smaller(request: Request) -> bool:
    """Whether rows that merge take fewer bytes than as int8."""
    return _bytes(request) < request.layer.channels * (request.layer.columns + ROW_BYTES)


def _bytes(request: Request) -> float:
    """Constants of rows that merge, and the operators beyond one."""
    layer = request.layer
    singles = layer.channels - request.several
    int4 = int4_kind(layer, singles, request.bits, "int4") is not None
    size = mixed_bytes(request, int4=int4)
    if request.several and singles:
        operators = 2 + (2 if layer.kind.per_channel else 0)  # a second one, CONCATENATION, and a SLICE for each
        size += operators * OP_BYTES
    return size + restoring_bytes(request)
