"""Value ranges of partial outputs, measured on a float copy of the model that also computes every point."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from converters.lowering.build import copy_op
from converters.lowering.quantized_layer import QuantizedLayer
from converters.tflite.graph import Model, Op, Tensor, TensorType
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
    added: dict[Op, list[Op]] = {}  # by the op they stand before
    outputs, keys = [], []
    for q in quantized:
        deepest = int(q.weight.counts.max())
        levels = [deepest] if q.layer.name in full_width else sorted({int(n) for n in q.weight.counts if n > 1})
        for level in levels:
            rows = np.ones(q.layer.channels, bool) if q.layer.name in full_width else q.weight.counts == level
            for p in range(level):
                for number, use in enumerate(q.layer.uses):
                    op = _partial(q, number, rows, p, f"partial_{len(keys)}")
                    added.setdefault(use.float_op, []).append(op)
                    outputs.append(op.outputs[0])
                    keys.append(PartialKey(q.layer.name, number, level, p))
    ops = [new for op in model.graph.ops for new in (*added.get(op, ()), op)]
    return probe(model.with_ops(ops), outputs), keys


def _partial(q: QuantizedLayer, number: int, rows: np.ndarray, p: int, name: str) -> Op:
    use, point = q.layer.uses[number], q.weight.points[p]
    _, weight_slot, bias_slot = q.layer.site
    op = use.float_op
    old = op.input(weight_slot)
    real = np.where(rows[:, None], point.codes * point.scale[:, None], 0).astype(np.float32)
    bias = np.where(rows, q.biases[number], 0).astype(np.float32) if p == 0 else np.zeros(len(rows), np.float32)
    inputs = list(op.inputs[:bias_slot])
    inputs[weight_slot] = Tensor(f"{name}/weight", old.shape, old.type, q.layer.kind.tensor(real, old.shape).tobytes())
    inputs.append(Tensor(f"{name}/bias", bias.shape, TensorType.FLOAT32, bias.tobytes()))
    target = op.outputs[0]
    result = Tensor(name, target.shape, target.type, None, None, target.shape_signature)
    return copy_op(op, inputs, [result], fusedActivationFunction=0)
