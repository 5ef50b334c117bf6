"""``compact``: every point of at most 4 bits stored as INT4, for :func:`converters.lowering.expand.expand` at load.

The smallest file for networks of 3x3 convolutions, and slow as it is: expanded in memory it is the fused file.
"""

from __future__ import annotations

from converters.layers.layer import Layer
from converters.lowering.form import Form, FormCost, Request, RowOrder, Writing
from converters.lowering.parallel import lower_parallel, points_cost
from converters.lowering.quantized_layer import QuantizedLayer
from converters.lowering.result import LoweredLayer
from converters.targets import Target
from converters.tflite.graph import Graph

_GATHERED_BYTES = 2500  # the operators, tensors and names of a layer of two segments and a GATHER


class Compact(Form):
    """INT4 wherever a kernel runs it; rows that must stay are put back by a GATHER where that is smaller than int8."""

    name = "compact"
    used = "compact"
    instead = ("fused", "full width")
    plans_refused = True
    needs_ranges = True

    def refuses(self, request: Request) -> str | None:
        if not request.several and request.bits > 4:
            return ""  # one int8 op
        if request.several and request.mixed and request.frozen is not None and not _pays_gather(request):
            return f"the channel order must stay: {request.frozen}"
        return None

    def order(self, request: Request) -> RowOrder:
        if not request.mixed:
            return "kept"
        return "restored" if request.frozen is not None else "sorted"

    def cost(self, request: Request, target: Target) -> FormCost:
        return points_cost(request, target, "int4")

    def recorded(self, request: Request) -> str:
        return self.name if self.order(request) == "restored" else "parallel"

    def write(self, graph: Graph, quantized: QuantizedLayer, writing: Writing) -> LoweredLayer:
        return lower_parallel(graph, quantized, writing.ranges, storage="int4", restore=writing.restore)


def _pays_gather(request: Request) -> bool:
    """Whether the rows are smaller with a GATHER behind them than as int8."""
    layer: Layer = request.layer
    if not request.merges or request.bits > 4 or layer.kind.per_channel or not layer.kind.has_int4:
        return False
    if layer.full_width:
        return False
    further = sum((points - 1) * rows for points, rows in request.segments)
    return (layer.channels - further) * layer.columns / 2 > _GATHERED_BYTES
