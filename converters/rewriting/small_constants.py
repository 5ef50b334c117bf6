"""Large float constants that no layer multiplies with, as int8: positions that are added, factors, tables of numbers.

A DEQUANTIZE behind each makes float numbers of them again when the file is loaded or run. TensorFlow's converter does
so with every constant of at least 1,024 numbers, and so do files with float activations here.
"""

from __future__ import annotations

from math import prod

import numpy as np

from converters.layers.kinds import LEAST_DYNAMIC, kind_of, weights_of
from converters.points import INT8_LIMIT
from converters.tflite.graph import BuiltinOperator, Graph, Model, Op, Quantization, Tensor, TensorType

_DEQUANTIZE_VERSION = 2
_LOOKUP_VERSION = 2  # of int8 tables
# Products of two activations have int8 kernels of another kind; rows that are looked up become int8 before they do.
# TensorFlow leaves the biases of LSTMs in float at any size, and all of an LSTM that has smaller matrices.
_LEFT = {
    BuiltinOperator.BATCH_MATMUL,
    BuiltinOperator.GATHER,
    BuiltinOperator.EMBEDDING_LOOKUP,
    BuiltinOperator.UNIDIRECTIONAL_SEQUENCE_LSTM,
}


def shrink_constants(model: Model) -> None:
    """Rounds the constants of all graphs, in place, around zero and with one scale each."""
    made: dict[int, Tensor] = {}
    for graph in model.graphs:
        _shrink(graph, made)


def _shrink(graph: Graph, made: dict[int, Tensor]) -> None:
    ops: list[Op] = []
    floats: dict[Tensor, Tensor] = {}  # a constant -> what a DEQUANTIZE makes of it
    for op in graph.ops:
        kind = kind_of(op)
        biases = {site.bias for site in kind.sites} if kind else ()  # which kernels read before any DEQUANTIZE runs
        weights = weights_of(op)
        for slot, tensor in enumerate(op.inputs if op.code not in _LEFT else ()):
            if tensor is None or not is_large(tensor) or tensor in weights or slot in biases:
                continue
            if tensor not in floats:
                floats[tensor] = Tensor(f"{tensor.name}/float", tensor.shape, TensorType.FLOAT32)
                ops.append(dequantize(int8_once(tensor, made), floats[tensor]))
            op.inputs[slot] = floats[tensor]
        ops.append(op)
    graph.ops = ops


def shrink_tables(graph: Graph, made: dict[int, Tensor]) -> None:
    """Rounds what GATHERs look up, in place, with one scale a table; rows are made float behind.

    Args:
        graph: whose GATHERs are looked at.
        made: by data, those that are rounded already; gets the others.
    """
    ops: list[Op] = []
    for op in graph.ops:
        ops.append(op)
        if op.code != BuiltinOperator.GATHER or not is_large(op.input(0)):
            continue
        table, output = op.input(0), op.outputs[0]
        op.inputs[0] = small = int8_once(table, made)
        op.outputs[0] = looked_up = Tensor(
            f"{output.name}/int8", output.shape, TensorType.INT8, None, small.quantization, output.shape_signature
        )
        op.version = max(op.version, _LOOKUP_VERSION)
        ops.append(dequantize(looked_up, output))
    graph.ops = ops


def is_large(tensor: Tensor) -> bool:
    """Whether it is a float constant that TensorFlow's converter would store as int8."""
    return tensor.data is not None and tensor.type == TensorType.FLOAT32 and prod(tensor.shape) >= LEAST_DYNAMIC


def int8_once(tensor: Tensor, made: dict[int, Tensor], axis: int | None = None) -> Tensor:
    """A float constant in int8 around zero, the same one however many operators and graphs share its data.

    Args:
        tensor: the constant.
        made: by data, those that are rounded already; gets the others.
        axis: along which there is a scale for each index; None: one scale for all.
    """
    known = made.get(id(tensor.data))
    if known is None or (known.shape, _scaled_along(known)) != (tensor.shape, axis):
        known = made[id(tensor.data)] = _as_int8(tensor, axis)
    return known


def _scaled_along(rounded: Tensor) -> int | None:
    scaling = rounded.quantization
    return scaling.axis if scaling is not None and len(scaling.scale) > 1 else None


def _as_int8(tensor: Tensor, axis: int | None) -> Tensor:
    values = tensor.array()
    others = None if axis is None else tuple(i for i in range(values.ndim) if i != axis)
    largest = np.abs(values).max(axis=others, keepdims=True)
    scale = np.maximum(largest / np.float32(INT8_LIMIT), np.finfo(np.float32).tiny)
    codes = np.clip(np.rint(values / scale), -INT8_LIMIT, INT8_LIMIT).astype(np.int8)
    scaling = Quantization(scale.ravel(), np.zeros(scale.size, np.int64), axis or 0)
    return Tensor(tensor.name, tensor.shape, TensorType.INT8, codes.tobytes(), scaling)


def dequantize(source: Tensor, result: Tensor) -> Op:
    """An operator that makes float numbers of int8 ones."""
    return Op(BuiltinOperator.DEQUANTIZE, [source], [result], _DEQUANTIZE_VERSION)
