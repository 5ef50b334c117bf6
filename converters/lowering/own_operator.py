"""``own operator``: one-point rows as INT4 in the layer's own operator, beside its merged int8 rows.

For processors whose compilers keep 4-bit weights in convolutions too, which no TensorFlow Lite kernel runs fast. Where
a target takes INT4 convolutions, ``auto`` writes so every convolution and dense layer that it can.
"""

from __future__ import annotations

from dataclasses import replace

from converters.layers.kinds import CONV, DENSE
from converters.layers.layer import Layer
from converters.lowering.form import (
    OP_BYTES,
    Form,
    FormCost,
    Request,
    RowOrder,
    Writing,
    mixed_bytes,
    positions_of,
    restoring_cost,
)
from converters.lowering.parallel import lower_parallel
from converters.lowering.points_writer import int4_kind
from converters.lowering.quantized_layer import QuantizedLayer
from converters.lowering.result import LoweredLayer
from converters.targets import Target, concat_work, with_rows, work_of
from converters.tflite.graph import Graph, Op
from converters.tflite.op_names import op_name

_KINDS = (CONV, DENSE)


class OwnOperator(Form):
    """INT4 rows beside merged int8 rows, all in operators of the layer's own kind."""

    name = "own operator"
    used = "INT4 and int8 operators of its own kind"
    instead = ("fused", "parallel", "full width")
    asked_for = False
    merges_rows = True

    def lacking(self, target: Target) -> str | None:
        missing = [kind for kind in _KINDS if target.stated is None or not target.supports(op_name(kind.code), "INT4")]
        return f"it keeps no INT4 {op_name(missing[0].code)}. Use lowering='auto'." if missing else None

    def unsuitable(self, layer: Layer, bits: int) -> str | None:
        if int4_kind(layer, layer.channels, bits, "own") is not None:
            return None
        return "only convolutions and dense layers of at most 4 bits are kept as INT4"

    def automatic(self, layer: Layer, bits: int, *, merges: bool) -> bool:
        return False  # the layer's settings name it where the target calls for it

    def refuses(self, request: Request) -> str | None:
        singles = request.layer.channels - request.several
        if not request.merges:
            return "its points do not merge into int8 rows"
        if not singles or int4_kind(request.layer, singles, request.bits, "own") is None:
            return ""  # one int8 op
        return f"the channel order must stay: {request.frozen}" if request.displaced else None

    def order(self, request: Request) -> RowOrder:
        return "sorted" if request.mixed and request.frozen is None else "kept"

    def cost(self, request: Request, target: Target) -> FormCost:
        layer, several = request.layer, request.several
        singles = layer.channels - several
        time = sum(_microseconds(use.int8_op, singles, several, target) for use in layer.uses)
        behind = restoring_cost(request, target)
        return FormCost(
            mixed_bytes(request) + (2 * OP_BYTES if several else 0) + behind.bytes, time + behind.microseconds
        )

    def write(self, graph: Graph, quantized: QuantizedLayer, writing: Writing) -> LoweredLayer:
        return lower_parallel(graph, quantized, writing.ranges, storage="own")


def _microseconds(op: Op, singles: int, several: int, target: Target) -> float:
    whole = work_of(op)
    time = target.microseconds(replace(with_rows(whole, singles), weights="INT4"))
    if several:
        time += target.microseconds(with_rows(whole, several))
        time += target.microseconds(
            concat_work(positions=positions_of(op.outputs[0]), channels=whole.rows, activation=whole.activation)
        )
    return time
