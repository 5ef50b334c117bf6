"""What TensorFlow's converter makes of a float file with dynamic-range quantization: the file users compare with.

Its converter does so only in one step with the conversion of a Keras model or SavedModel; here the same is made of
any float file. Weights of layers become int8 rows with a scale a channel. All other constants of at least
1,024 numbers (tables that a GATHER reads, positions that are added) become int8 with one scale, and a DEQUANTIZE stands
behind what looks them up, or behind them.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import prod

import numpy as np

from converters.frontend.dynamic_file import int8_rows, rounds_rows
from converters.layers.kinds import LEAST_DYNAMIC, kind_of
from converters.points import INT8_LIMIT
from converters.tflite.file import File
from converters.tflite.graph import BuiltinOperator, Graph, Model, Op, Quantization, Tensor, TensorType
from converters.tflite.writer import save

_DEQUANTIZE_VERSION = 2


def stock_dynamic_file(model: Model) -> File:
    """The file as TensorFlow's converter would quantize it, in all graphs.

    Args:
        model: a float model; it stays as it is.
    """
    copy = model.clone().model
    made: dict[tuple[int, str], Tensor] = {}  # by data and how it is rounded: one, however many operators share it
    for graph in copy.graphs:
        _quantize(graph, made)
    return File.parse(save(copy))


def _quantize(graph: Graph, made: dict[tuple[int, str], Tensor]) -> None:
    ops: list[Op] = []
    floats: dict[Tensor, Tensor] = {}  # a constant -> what a DEQUANTIZE makes of it
    for op in graph.ops:
        kind = kind_of(op)
        sites = [] if kind is None or kind.table else [site.weight for site in kind.sites]
        behind = None
        for slot, tensor in enumerate(op.inputs):
            if tensor is None or not _is_large(tensor):
                continue
            if kind is not None and slot in sites:
                op.inputs[slot] = _known(made, tensor, kind.name, partial(int8_rows, kind))
                op.version = max(op.version, kind.dynamic_version)
                rounds_rows(op)
            elif op.code == BuiltinOperator.BATCH_MATMUL:
                continue
            elif op.code == BuiltinOperator.GATHER and slot == 0:
                op.inputs[slot] = _known(made, tensor, "", _int8)
                behind = op.inputs[slot]
            else:
                if tensor not in floats:
                    small = _known(made, tensor, "", _int8)
                    floats[tensor] = Tensor(f"{tensor.name}/float", tensor.shape, TensorType.FLOAT32)
                    ops.append(_dequantize(small, floats[tensor]))
                op.inputs[slot] = floats[tensor]
        ops.append(op)
        if behind is not None:
            output = op.outputs[0]
            looked_up = Tensor(
                f"{output.name}/int8", output.shape, TensorType.INT8, None, behind.quantization, output.shape_signature
            )
            op.outputs[0] = looked_up
            op.version = max(op.version, 2)
            ops.append(_dequantize(looked_up, output))
    graph.ops = ops


def _known(made: dict[tuple[int, str], Tensor], tensor: Tensor, how: str, make: Callable[[Tensor], Tensor]) -> Tensor:
    key = id(tensor.data), how
    if key not in made or (made[key].shape, made[key].name) != (tensor.shape, tensor.name):
        made[key] = make(tensor)
    return made[key]


def _is_large(tensor: Tensor) -> bool:
    return tensor.data is not None and tensor.type == TensorType.FLOAT32 and prod(tensor.shape) >= LEAST_DYNAMIC


def _int8(tensor: Tensor) -> Tensor:
    values = tensor.array()
    scale = np.float32(max(float(np.abs(values).max()), np.finfo(np.float32).tiny * INT8_LIMIT) / INT8_LIMIT)
    codes = np.clip(np.rint(values / scale), -INT8_LIMIT, INT8_LIMIT).astype(np.int8)
    scaling = Quantization(np.array([scale]), np.zeros(1, np.int64))
    return Tensor(tensor.name, tensor.shape, TensorType.INT8, codes.tobytes(), scaling)


def _dequantize(source: Tensor, result: Tensor) -> Op:
    return Op(BuiltinOperator.DEQUANTIZE, [source], [result], _DEQUANTIZE_VERSION)
