"""Operators with float activations and integer weights, built from graph objects."""

from __future__ import annotations

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from converters.layers.kinds import KINDS
from converters.tflite.graph import BuiltinOperator, Op, Quantization, Tensor, TensorType
from converters.tflite.packing import pack_int4
from tests.support.op_models import layer_op, weight


def floats(name: str, shape: tuple[int, ...]) -> Tensor:
    """A float activation."""
    return Tensor(name, shape, TensorType.FLOAT32)


def random_weight(
    rng: np.random.Generator, kind: str, shape: tuple[int, ...], *, bits: int = 8, same_scales: bool = False
) -> Tensor:
    """A weight of the kind in the file's layout, one scale a channel."""
    limit = 7 if bits == 4 else 127
    channels = shape[KINDS[kind].row_axis]
    scale = np.full(channels, 0.02) if same_scales else rng.uniform(0.01, 0.03, channels)
    return weight("w", kind, rng.integers(-limit, limit + 1, shape), scale, int4=bits == 4)


def random_bias(rng: np.random.Generator, channels: int) -> Tensor:
    """A float bias."""
    return Tensor("b", (channels,), TensorType.FLOAT32, rng.normal(size=channels).astype(np.float32).tobytes())


def dense_op(
    rng: np.random.Generator, shape: tuple[int, ...], rows: int, *, bits: int, fused: str = "NONE", biased: bool = True
) -> Op:
    """A dense layer of an activation of ``shape``, whose dimensions it keeps."""
    weights = random_weight(rng, "dense", (rows, shape[-1]), bits=bits)
    biases = random_bias(rng, rows) if biased else None
    result = floats("y", (*shape[:-1], rows))
    op = layer_op("dense", floats("x", shape), weights, biases, result, fused=fused, keep_dims=True)
    op.options.asymmetricQuantizeInputs = True
    return op


def product_op(rng: np.random.Generator, left: tuple[int, ...], right: tuple[int, ...], *, adj_y: bool = False) -> Op:
    """BATCH_MATMUL with a constant int8 right side, one scale an output channel."""
    axis = len(right) - (2 if adj_y else 1)
    codes = rng.integers(-127, 128, right).astype(np.int8)
    channels = right[axis]
    scaling = Quantization(rng.uniform(0.01, 0.03, channels).astype(np.float32), np.zeros(channels, np.int64), axis)
    weights = Tensor("w", right, TensorType.INT8, codes.tobytes(), scaling)
    options = schema.BatchMatMulOptionsT()
    options.adjY, options.asymmetricQuantizeInputs = adj_y, True
    result = floats("y", (*left[:-1], channels))
    kind = schema.BuiltinOptions.BatchMatMulOptions
    return Op(BuiltinOperator.BATCH_MATMUL, [floats("x", left), weights], [result], 2, kind, options)


def lookup_op(rng: np.random.Generator, rows: int, columns: int, ids: int, *, bits: int) -> Op:
    """EMBEDDING_LOOKUP in a table with one scale a row."""
    limit = 7 if bits == 4 else 127
    codes = rng.integers(-limit, limit + 1, (rows, columns)).astype(np.int8)
    scaling = Quantization(rng.uniform(0.01, 0.03, rows).astype(np.float32), np.zeros(rows, np.int64), 0)
    data = pack_int4(codes) if bits == 4 else codes.tobytes()
    table = Tensor("w", (rows, columns), TensorType.INT4 if bits == 4 else TensorType.INT8, data, scaling)
    source = Tensor("x", (ids,), TensorType.INT32)
    return Op(BuiltinOperator.EMBEDDING_LOOKUP, [source, table], [floats("y", (ids, columns))], 3)
