"""Which operator of the int8 twin computes what an operator of the float graph does."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from converters.layers.channel_rules import unreadable
from converters.layers.kinds import weights_of
from converters.points import row_parts
from converters.tflite.graph import BuiltinOperator, Graph, Op, Tensor, TensorType

CONVERSIONS = {BuiltinOperator.QUANTIZE, BuiltinOperator.DEQUANTIZE}


def twin_ops(float_graph: Graph, int8_graph: Graph) -> list[tuple[Op, Op | None]]:
    """The operators of the float graph, but conversions, each with its twin; None: it has none for certain.

    Mostly the graphs are the same step by step. Where TensorFlow rewrote something while quantizing (STRIDED_SLICE to
    SLICE, EXPAND_DIMS to RESHAPE, what it can compute beforehand), layers are told by their weights: the twin's
    integers are the rounded float values. Operators that hold no weights are told by the name of what they write.
    """
    first, second = ([op for op in graph.ops if op.code not in CONVERSIONS] for graph in (float_graph, int8_graph))
    if _in_step(first, second):
        return list(zip(first, second, strict=True))
    left = list(second)
    pairs: list[tuple[Op, Op | None]] = []
    for op in first:
        twin = _by_weights(op, left) if weights_of(op) else _by_output(op, left)
        if twin is not None:
            left.remove(twin)
        pairs.append((op, twin))
    return pairs


def _in_step(first: Sequence[Op], second: Sequence[Op]) -> bool:
    """Whether the graphs are the same step by step, and no layer's weights are those of another of its shape."""
    if len(first) != len(second) or not all(_alike(a, b) for a, b in zip(first, second, strict=True)):
        return False
    unlike = [a for a, b in zip(first, second, strict=True) if weights_of(a) and not _same_weights(a, b)]
    return all(_by_weights(op, second) is None for op in unlike)


def _alike(a: Op, b: Op) -> bool:
    return a.name == b.name and _weight_shapes(a) == _weight_shapes(b)


def _weight_shapes(op: Op) -> list[tuple[int, ...]]:
    return [t.shape for t in op.inputs if t is not None and t.data is not None and len(t.shape) > 1]


def _by_weights(op: Op, candidates: Sequence[Op]) -> Op | None:
    fitting = [other for other in candidates if _alike(op, other)]
    fitting.sort(key=lambda other: other.outputs[0].name != op.outputs[0].name)  # equal weights: by name, then in order
    return next((other for other in fitting if _same_weights(op, other)), None)


def _by_output(op: Op, candidates: Sequence[Op]) -> Op | None:
    names = [t.name for t in op.outputs]
    return next((other for other in candidates if _alike(op, other) and [t.name for t in other.outputs] == names), None)


def _same_weights(a: Op, b: Op) -> bool:
    first, second = weights_of(a), weights_of(b)
    return len(first) == len(second) and all(_rounds_to(x, y) for x, y in zip(first, second, strict=True))


def _rounds_to(real: Tensor, stored: Tensor) -> bool:
    """Whether a tensor of the twin holds the float one's values, up to a rounding step."""
    if stored.data is None or stored.shape != real.shape or unreadable(stored) or unreadable(real):
        return False
    values, codes = real.array(), stored.array()
    if stored.type == TensorType.FLOAT32:
        return np.array_equal(values, codes)
    if stored.quantization is None:
        return False
    shape = [1] * values.ndim
    if stored.quantization.scale.size > 1:
        shape[stored.quantization.axis] = -1
    scale, zero_point = (v.reshape(shape) for v in (stored.quantization.scale, stored.quantization.zero_point))

    def near(part: slice) -> bool:
        step, zero = (v[part] if len(v) == len(values) else v for v in (scale, zero_point))
        return bool((np.abs((codes[part].astype(np.float64) - zero) * step - values[part]) <= step).all())

    return all(near(part) for part in row_parts(len(values), values.size // max(len(values), 1)))
