"""``fused``: one int8 op whose multi-point rows are merged into int8 rows; as fast as stock everywhere."""

from __future__ import annotations

from converters.errors import LoweringError
from converters.layers.layer import Layer
from converters.lowering.build import constant_bias, constant_weight
from converters.lowering.form import Form, FormCost, Request, Writing, int8_cost
from converters.lowering.quantized_layer import QuantizedLayer
from converters.lowering.result import EmittedWeight, LoweredLayer
from converters.points import merge
from converters.targets import Target
from converters.tflite.graph import Graph


def lower_fused(graph: Graph, quantized: QuantizedLayer) -> LoweredLayer:
    """Replaces the weights and biases of the layer's ops; the graph's structure stays.

    Raises:
        LoweringError: The points are not multiples of one int8 row.
    """
    layer = quantized.layer
    merged = merge(quantized.weight)
    if merged is None:
        raise LoweringError(
            f"layer {layer.name!r}: its {quantized.weight.counts.max()} points of {quantized.weight.bits} bits do not "
            "merge into int8 rows (scales are no integer multiples, or the sum leaves +-127). Use lowering='parallel' "
            "for this layer, fewer points, or algorithm='radix' with 2 points."
        )
    _, weight_slot, bias_slot = layer.site
    name = f"{layer.name}/weight"
    weight = None
    for number, (use, bias) in enumerate(zip(layer.uses, quantized.biases, strict=True)):
        op = use.int8_op
        if weight is None:  # one tensor, however many ops share it
            weight = constant_weight(name, layer.kind, merged.codes, merged.scale, op.input(weight_slot).shape)
        op.inputs[weight_slot] = weight
        op.version = layer.kind.version(op.version)
        del op.inputs[bias_slot:]
        suffix = "" if number == 0 else f"_{number}"
        op.inputs.append(constant_bias(f"{layer.name}/bias{suffix}", bias, use.int8_input, merged.scale))
    emitted = EmittedWeight(layer.name, name, merged.codes, merged.scale)
    return LoweredLayer(layer.name, "fused", (emitted,), tuple(use.int8_op.outputs[0].name for use in layer.uses))


class Fused(Form):
    """One int8 op."""

    name = "fused"
    used = "one int8 op"
    merges_rows = True
    beyond = True

    def automatic(self, layer: Layer, bits: int, *, merges: bool) -> bool:
        return merges

    def refuses(self, request: Request) -> str | None:
        return None if request.merges else "its points do not merge into int8 rows"

    def cost(self, request: Request, target: Target) -> FormCost:
        return int8_cost(request, target)

    def write(self, graph: Graph, quantized: QuantizedLayer, writing: Writing) -> LoweredLayer:
        return lower_fused(graph, quantized)
