"""``tied``: one table that ids look up and a dense layer multiplies with, as one tensor for both.

All rows INT4, or all int8: a second point of some rows would need a row order for the dense layer's INT4 and int8
operators that the lookup does not have, and the table twice in the file.
"""

from __future__ import annotations

from dataclasses import replace

from converters.errors import LoweringError
from converters.layers.kinds import EMBEDDING
from converters.layers.layer import Layer
from converters.lowering.build import constant_bias, constant_weight
from converters.lowering.form import ROW_BYTES, Form, FormCost, Request, Writing
from converters.lowering.lookup import positions_of_ids
from converters.lowering.quantized_layer import QuantizedLayer
from converters.lowering.result import EmittedWeight, LoweredLayer
from converters.lowering.split import can_store_int4, lowest_int4_code
from converters.points import merge
from converters.targets import Target, lookup_work, work_of
from converters.tflite.graph import Graph


class Tied(Form):
    """One INT4 or int8 tensor for a dense layer and lookups."""

    name = "tied"
    used = "one int8 table"
    asked_for = False

    def writes(self, layer: Layer) -> bool:
        return bool(layer.lookups)

    def automatic(self, layer: Layer, bits: int, *, merges: bool) -> bool:
        return True

    def refuses(self, request: Request) -> str | None:
        if request.several and not request.merges:
            return "its points do not merge into int8 rows"
        return "rows with one point and with several would have to be apart" if request.mixed else None

    def cost(self, request: Request, target: Target) -> FormCost:
        layer = request.layer
        int4 = not request.several and can_store_int4(layer, layer.channels, request.bits)
        kept = "INT4" if int4 else "INT8"
        time = sum(target.microseconds(replace(work_of(use.int8_op), weights=kept)) for use in layer.uses)
        for lookup in layer.lookups:
            work = lookup_work(positions=positions_of_ids(lookup), columns=layer.columns, weights=kept)
            time += target.microseconds(work)
        return FormCost(layer.channels * (layer.columns / (2 if int4 else 1) + ROW_BYTES), time)

    def write(self, graph: Graph, quantized: QuantizedLayer, writing: Writing) -> LoweredLayer:
        return lower_tied(quantized, int4=writing.storage != "int8")


def lower_tied(quantized: QuantizedLayer, *, int4: bool = True) -> LoweredLayer:
    """Gives the layer's ops and its lookups one weight; the graph's structure stays.

    Raises:
        LoweringError: Rows have several points that are not multiples of one int8 row.
    """
    layer, weight = quantized.layer, quantized.weight
    rows = weight.points[0] if len(weight.points) == 1 or (weight.counts == 1).all() else merge(weight)
    if rows is None:
        raise LoweringError(
            f"layer {layer.name!r} is a table that ids look up as well, so its {weight.counts.max()} points of "
            f"{weight.bits} bits must be int8 rows together, which they are not. Use one point, or algorithm='radix'."
        )
    int4 = int4 and (weight.counts == 1).all() and can_store_int4(layer, layer.channels, weight.bits)
    int4 = int4 and rows.codes.min() >= lowest_int4_code(layer)  # given points may hold others
    _, weight_slot, bias_slot = layer.site
    name = f"{layer.name}/rows"
    old = layer.uses[0].int8_op.input(weight_slot)
    tensor = constant_weight(name, layer.kind, rows.codes, rows.scale, old.shape, int4=bool(int4))
    for number, (use, bias) in enumerate(zip(layer.uses, quantized.biases, strict=True)):
        op = use.int8_op
        op.inputs[weight_slot] = tensor
        op.version = layer.kind.dynamic_version
        del op.inputs[bias_slot:]
        suffix = f"#{number}" if number else ""
        op.inputs.append(constant_bias(f"{layer.name}/bias{suffix}", bias, use.int8_input, rows.scale))
    for lookup in layer.lookups:
        lookup.int8_op.inputs[lookup.site.weight] = tensor
        lookup.int8_op.version = EMBEDDING.lookup_version(tensor)
    emitted = EmittedWeight(layer.name, name, rows.codes, rows.scale)
    ops = [use.int8_op for use in (*layer.uses, *layer.lookups)]
    return LoweredLayer(layer.name, "tied", (emitted,), tuple(op.outputs[0].name for op in ops))
