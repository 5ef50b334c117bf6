"""Value ranges of partial outputs, measured on a float copy of the model that also computes every point."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from converters.layers.layer import slots, weight_tensor
from converters.lowering.build import copy_op
from converters.lowering.quantized_layer import QuantizedLayer
from converters.tflite.graph import Model, Tensor, TensorType
from converters.tflite.probe import probe


class PartialKey(NamedTuple):
    """Which partial output: layer, number of the use, points of its rows, which of them."""

    layer: str
    use: int
    points: int
    point: int


def partial_probe(
    model: Model, quantized: Sequence[QuantizedLayer], full_width: set[str]
) -> tuple[bytes, list[PartialKey]]:
    """A float model whose outputs are all partial outputs.

    Args:
        model: the float model; not changed.
        quantized: layers with multi-point rows, in the float graph's row order.
        full_width: names of layers all of whose rows share one op a point.

    Returns:
        (file, keys of its outputs). Rows outside a partial are zero: they do not move a range that holds 0.
    """
    graph = model.graph
    kept = graph.ops
    graph.ops = list(kept)
    outputs, keys = [], []
    try:
        for q in quantized:
            deepest = int(q.weight.counts.max())
            levels = [deepest] if q.layer.name in full_width else sorted({int(n) for n in q.weight.counts if n > 1})
            for level in levels:
                rows = np.ones(q.layer.channels, bool) if q.layer.name in full_width else q.weight.counts == level
                for p in range(level):
                    for number in range(len(q.layer.uses)):
                        outputs.append(_add_partial(model, q, number, rows, p, f"partial_{len(keys)}"))
                        keys.append(PartialKey(q.layer.name, number, level, p))
        return probe(model, outputs), keys
    finally:
        graph.ops = kept


def _add_partial(model: Model, q: QuantizedLayer, number: int, rows: np.ndarray, p: int, name: str) -> Tensor:
    use, point = q.layer.uses[number], q.weight.points[p]
    _, weight_slot, bias_slot = slots(q.layer.kind)
    op = use.float_op
    old = op.input(weight_slot)
    real = np.where(rows[:, None], point.codes * point.scale[:, None], 0).astype(np.float32)
    bias = np.where(rows, q.biases[number], 0).astype(np.float32) if p == 0 else np.zeros(len(rows), np.float32)
    inputs = list(op.inputs[:bias_slot])
    inputs[weight_slot] = Tensor(
        f"{name}/weight", old.shape, old.type, weight_tensor(q.layer.kind, real, old.shape).tobytes()
    )
    inputs.append(Tensor(f"{name}/bias", bias.shape, TensorType.FLOAT32, bias.tobytes()))
    target = op.outputs[0]
    result = Tensor(name, target.shape, target.type, None, None, target.shape_signature)
    model.graph.ops.insert(model.graph.ops.index(op), copy_op(op, inputs, [result], fusedActivationFunction=0))
    return result
