"""``split``: INT4 storage at int8 speed for 1x1 convolutions and dense layers.

Rows with several points are merged into int8 rows of one FULLY_CONNECTED, rows with one point are stored as INT4 in
another, and a CONCATENATION joins them; a layer whose rows all have one point is a single INT4 op. XNNPACK runs INT4
weights fast only in FULLY_CONNECTED, so 1x1 convolutions with stride 1 become that (with ``keep_num_dims``).
"""

from __future__ import annotations

import numpy as np

from converters.errors import LoweringError
from converters.layers.kinds import DENSE
from converters.layers.layer import Layer
from converters.lowering.build import constant_bias, constant_weight
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
from converters.lowering.ops import concatenation, dense, gather, with_channels
from converters.lowering.quantized_layer import QuantizedLayer
from converters.lowering.result import EmittedWeight, LoweredLayer
from converters.points import merge
from converters.targets import Target, concat_work, dense_work
from converters.tflite.graph import Graph, Tensor

INT4_BITS = 4
_MIN_INT4_ROWS = 2  # the runtime refuses an INT4 FULLY_CONNECTED with one


def can_store_int4(layer: Layer, rows: int, bits: int) -> bool:
    """Whether ``rows`` rows of the layer run fast as INT4 FULLY_CONNECTED (runtime facts: even inputs, >= 2 rows)."""
    return bits <= INT4_BITS and rows >= _MIN_INT4_ROWS and layer.columns % 2 == 0 and layer.is_product


def lowest_int4_code(layer: Layer) -> int:
    """The smallest code that every kernel gets right in the INT4 weights of the layer's operators.

    Beside float activations the plain FULLY_CONNECTED of all LiteRT releases tried (1.1 to 2.3) reads -8 as another
    number, and takes part of it for its neighbour's; XNNPACK and the reference kernels do not.
    """
    return -7 if layer.reads_float and layer.is_product else -8


def positions(layer: Layer) -> int:
    """Output positions of the layer's ops at batch 1."""
    return positions_of(layer.uses[0].int8_op.outputs[0])


def int8_rows(several: int, channels: int) -> int:
    """How many rows of a split layer are int8: those with several points; all where one INT4 row would be left."""
    return channels if channels - several < _MIN_INT4_ROWS else several


def lower_split(graph: Graph, quantized: QuantizedLayer, *, restore: np.ndarray | None = None) -> LoweredLayer:
    """Replaces each op of the layer by an int8 and an INT4 FULLY_CONNECTED and a CONCATENATION, or by one of the two.

    Args:
        graph: int8 graph that holds the layer's ops.
        quantized: points; rows with several points come first.
        restore: where the outputs are wanted in another order, the row to take for each output channel: a GATHER.

    Raises:
        LoweringError: The layer is none that can be split, its rows are not in order, or its points do not merge.
    """
    layer, weight = quantized.layer, quantized.weight
    where = f"layer {layer.name!r}"
    if not can_store_int4(layer, _MIN_INT4_ROWS, weight.bits):
        raise LoweringError(
            f"{where}: only 1x1 convolutions with stride 1 and dense layers of at most 4 bits with an even number of "
            "inputs can be split. Use lowering='fused' for this layer."
        )
    if (np.diff((weight.counts > 1).astype(int)) > 0).any():
        raise LoweringError(f"{where}: rows with several points must come first for the split form.")
    merged = merge(weight)
    if merged is None:
        raise LoweringError(
            f"{where}: its points do not merge into int8 rows. Use lowering='parallel' for this layer, fewer points, "
            "or algorithm='radix' with 2 points."
        )
    edge = int8_rows(int((weight.counts > 1).sum()), layer.channels)
    if merged.codes[edge:].min(initial=0) < lowest_int4_code(layer):  # given points may hold it
        edge = layer.channels
    pieces = [piece for piece in (slice(0, edge), slice(edge, layer.channels)) if piece.stop > piece.start]
    constants: list[tuple[str, Tensor]] = []  # one, however many ops share it
    emitted = []
    for piece in pieces:
        codes, scale = merged.codes[piece], merged.scale[piece]
        kind = "int4" if piece.start >= edge else "int8"
        name = f"{layer.name}/{kind}/weight"
        constants.append((kind, constant_weight(name, DENSE, codes, scale, codes.shape, int4=kind == "int4")))
        emitted.append(EmittedWeight(layer.name, name, codes, scale))
    outputs: list[str] = []
    for number, (use, bias) in enumerate(zip(layer.uses, quantized.biases, strict=True)):
        op, prefix = use.int8_op, layer.name if number == 0 else f"{layer.name}#{number}"
        source, target = use.int8_input, op.outputs[0]
        keep_dims = layer.kind.keeps_dims(op)
        result = target if restore is None else with_channels(f"{prefix}/ordered", target, layer.channels)
        ops, parts = [], []
        for piece, (kind, weight_tensor) in zip(pieces, constants, strict=True):
            offset = constant_bias(f"{prefix}/{kind}/bias", bias[piece], source, merged.scale[piece])
            rows = piece.stop - piece.start
            part = result if len(pieces) == 1 else with_channels(f"{prefix}/{kind}/out", target, rows)
            activation = op.options.fusedActivationFunction
            ops.append(dense([source, weight_tensor, offset], part, activation, keep_dims=keep_dims))
            parts.append(part)
        if len(pieces) > 1:
            ops.append(concatenation(parts, result))
        if restore is not None:
            ops.append(gather(f"{prefix}/order", result, restore, target))
        index = graph.ops.index(op)
        graph.ops[index : index + 1] = ops
        outputs += [tensor.name for new in ops for tensor in new.outputs]
    return LoweredLayer(layer.name, "split", tuple(emitted), tuple(outputs))


class Split(Form):
    """INT4 rows beside merged int8 rows."""

    name = "split"
    used = "split"
    instead = ("fused", "parallel", "full width")
    merges_rows = True

    def lacking(self, target: Target) -> str | None:
        if target.supports("FULLY_CONNECTED", "INT4"):
            return None
        return "its table has no FULLY_CONNECTED with INT4 weights. Use lowering='fused' or 'auto'."

    def unsuitable(self, layer: Layer, bits: int) -> str | None:
        if bits > INT4_BITS or can_store_int4(layer, layer.channels, bits):
            return None
        return (
            "INT4 weights run in FULLY_CONNECTED only, which stands for 1x1 convolutions with stride 1 and dense "
            "layers, with at least 2 rows and an even number of inputs. Use lowering='fused' in this rule, or none."
        )

    def automatic(self, layer: Layer, bits: int, *, merges: bool) -> bool:
        return merges and can_store_int4(layer, _MIN_INT4_ROWS, bits)

    def refuses(self, request: Request) -> str | None:
        layer = request.layer
        if not request.merges:
            return "its points do not merge into int8 rows"
        if request.bits > INT4_BITS or int8_rows(request.several, layer.channels) == layer.channels:
            return ""  # int8 rows only
        if not can_store_int4(layer, layer.channels, request.bits):
            return "no 1x1 convolution with stride 1 or dense layer with an even number of inputs"
        if request.displaced and not self.restores(layer):
            return f"the channel order must stay: {request.frozen}"
        return None

    def restores(self, layer: Layer) -> bool:
        return layer.is_product and positions(layer) == 1  # cheap for single vectors such as logits only

    def order(self, request: Request) -> RowOrder:
        if not request.mixed:
            return "kept"
        if request.displaced:
            return "restored"
        return "sorted" if request.frozen is None else "kept"

    def cost(self, request: Request, target: Target) -> FormCost:
        layer, several = request.layer, request.several
        count, single = positions(layer), layer.channels - several

        def dense_time(rows: int, weights: str) -> float:
            work = dense_work(
                positions=count, columns=layer.columns, rows=rows, weights=weights, activation=layer.activation
            )
            return target.microseconds(work)

        size = mixed_bytes(request)
        time = dense_time(single, "INT4")
        if several:
            joined = concat_work(positions=count, channels=layer.channels, activation=layer.activation)
            time += dense_time(several, "INT8") + target.microseconds(joined)
            size += 2 * OP_BYTES
        behind = restoring_cost(request, target)
        return FormCost(size + behind.bytes, len(layer.uses) * time + behind.microseconds)

    def recorded(self, request: Request) -> str:
        return "gathered" if self.order(request) == "restored" else self.name

    def write(self, graph: Graph, quantized: QuantizedLayer, writing: Writing) -> LoweredLayer:
        return lower_split(graph, quantized, restore=writing.restore)
