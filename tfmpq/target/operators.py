"""Operators without weights, for the files a cost table is measured on."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

from converters.lowering.build import copy_op
from converters.tflite.graph import BuiltinOperator, Graph, Model, Op, Quantization, Tensor, TensorType
from converters.tflite.new_ops import integers, make_op
from converters.tflite.writer import save
from tfmpq.target.models import SCALE, Case, activation

_Builder = Callable[[tuple[int, ...], int], Op]


def plain(name: str, size: int, channels: int, *, pieces: int = 2) -> Case:
    """An operator on a square input.

    Args:
        name: one of :data:`PLAIN`, or of :data:`FLOATING`, which are for :func:`tfmpq.target.models.as_float`.
        size: height and width; 0 for a flat vector.
        channels: channels of the input; of the output of CONCATENATION.
        pieces: inputs of CONCATENATION, outputs of SPLIT.
    """
    shape = (1, size, size, channels) if size else (1, channels)
    return Case((PLAIN | FLOATING)[name](shape, pieces))


def product(batch: int, rows: int, depth: int, columns: int, *, zero_point: int = 0) -> Case:
    """A BATCH_MATMUL of two activations, as in attention.

    Args:
        batch: matrices.
        rows: of the left ones, and of the result.
        depth: columns of the left ones, rows of the right ones.
        columns: of the right ones, and of the result.
        zero_point: of the right side.
    """
    right = activation("b", (1, batch, depth, columns))
    right.quantization = Quantization(np.array([SCALE], np.float32), np.array([zero_point], np.int64))
    inputs: list[Tensor | None] = [activation("a", (1, batch, rows, depth)), right]
    result = activation("y", (1, batch, rows, columns), scale=SCALE * SCALE * depth)
    return Case(_op("BATCH_MATMUL", inputs, [result], "BatchMatMulOptions", 2, adjX=False, adjY=False))


def mask(name: str, heads: int, length: int) -> Case:
    """What masks scores of attention: a SELECT_V2, or the LOGICAL_AND that makes a mask as large as they are."""
    shape = (1, heads, length, length)
    if name == "SELECT_V2":
        masked = Tensor("masked", (), TensorType.FLOAT32, np.float32(-1e38).tobytes())
        scores = activation("x", shape, type_=TensorType.FLOAT32)
        result = activation("y", shape, type_=TensorType.FLOAT32)
        shown = Tensor("shown", shape, TensorType.BOOL)
        return Case(_op(name, [shown, scores, masked], [result], "SelectV2Options", 1))
    whole = Tensor("whole", shape, TensorType.BOOL, bytes([1]) * int(np.prod(shape)))
    row = Tensor("row", (1, 1, 1, length), TensorType.BOOL)
    return Case(_op(name, [row, whole], [Tensor("y", shape, TensorType.BOOL)], "LogicalAndOptions", 1))


def chain_of(names: Iterable[str]) -> bytes:
    """Elementwise operators (of ``PLAIN``) of a few values one after the other."""
    value = start = activation("x", (1, 8))
    ops = []
    for number, name in enumerate(names):
        op = plain(name, 0, 8).op
        result = activation(f"y{number}", (1, 8))
        inputs = [value if t is not None and t.data is None else t for t in op.inputs]
        ops.append(copy_op(op, inputs, [result]))
        value = result
    return save(Model([Graph([start], [value], ops)], [], {}))


def _same(name: str, options: str = "", *, inputs: int = 1, version: int = 2, scale: float = SCALE) -> _Builder:
    """An elementwise operator."""

    def build(shape: tuple[int, ...], pieces: int) -> Op:
        sources: list[Tensor | None] = [activation(f"x{i}", shape) for i in range(inputs)]
        return _op(name, sources, [activation("y", shape, scale=scale)], options, version)

    return build


def _op(
    name: str, inputs: list[Tensor | None], outputs: list[Tensor], options: str = "", version: int = 2, **values: int
) -> Op:
    code = getattr(BuiltinOperator, name)
    if options:
        return make_op(code, inputs, outputs, version, options, **values)
    return Op(code, inputs, outputs, version)


def _concatenation(shape: tuple[int, ...], pieces: int) -> Op:
    channels = shape[-1]
    edges = [channels * i // pieces for i in range(pieces + 1)]
    parts: list[Tensor | None] = [activation(f"x{i}", (*shape[:-1], edges[i + 1] - edges[i])) for i in range(pieces)]
    return _op("CONCATENATION", parts, [activation("y", shape)], "ConcatenationOptions", axis=len(shape) - 1)


def _slice(shape: tuple[int, ...], pieces: int) -> Op:
    taken = (*shape[:-1], shape[-1] // 2)
    places: list[Tensor | None] = [integers("begin", [0] * len(shape)), integers("size", taken)]
    return _op("SLICE", [activation("x", shape), *places], [activation("y", taken)], "SliceOptions")


def _strided_slice(shape: tuple[int, ...], pieces: int) -> Op:
    taken = (*shape[:-1], shape[-1] // 2)
    places: list[Tensor | None] = [integers("begin", [0] * len(shape)), integers("end", taken)]
    places.append(integers("strides", [1] * len(shape)))
    return _op("STRIDED_SLICE", [activation("x", shape), *places], [activation("y", taken)], "StridedSliceOptions")


def _split(shape: tuple[int, ...], pieces: int) -> Op:
    outputs = [activation(f"y{i}", (*shape[:-1], shape[-1] // pieces)) for i in range(pieces)]
    axis = integers("axis", len(shape) - 1)
    return _op("SPLIT", [axis, activation("x", shape)], outputs, "SplitOptions", numSplits=pieces)


def _gather(shape: tuple[int, ...], pieces: int) -> Op:
    order = integers("order", np.random.default_rng(0).permutation(shape[-1]))
    source = activation("x", shape)
    return _op("GATHER", [source, order], [activation("y", shape)], "GatherOptions", 1, axis=len(shape) - 1)


def _pad(shape: tuple[int, ...], pieces: int) -> Op:
    padding = [[0, 0], [0, 1], [0, 1], [0, 0]] if len(shape) == 4 else [[0, 0], [0, 2]]
    wide = tuple(n + sum(p) for n, p in zip(shape, padding, strict=True))
    source = activation("x", shape)
    return _op("PAD", [source, integers("padding", padding)], [activation("y", wide)], "PadOptions")


def _mean(shape: tuple[int, ...], pieces: int) -> Op:
    axes = integers("axes", [1, 2])
    return _op("MEAN", [activation("x", shape), axes], [activation("y", (1, shape[-1]))], "ReducerOptions")


def _pool(name: str) -> _Builder:
    def build(shape: tuple[int, ...], pieces: int) -> Op:
        small = (1, shape[1] // 2, shape[2] // 2, shape[3])
        options = {"strideH": 2, "strideW": 2, "filterHeight": 2, "filterWidth": 2, "padding": 1}
        return _op(name, [activation("x", shape)], [activation("y", small)], "Pool2DOptions", **options)

    return build


def _softmax(shape: tuple[int, ...], pieces: int) -> Op:
    scaling = Quantization(np.array([1 / 256], np.float32), np.array([-128], np.int64))
    result = Tensor("y", shape, TensorType.INT8, quantization=scaling)
    op = _op("SOFTMAX", [activation("x", shape)], [result], "SoftmaxOptions")
    op.options.beta = 1.0
    return op


def _curve(name: str, scale: float, zero_point: int) -> _Builder:
    """LOGISTIC and TANH: their output's scaling is fixed."""

    def build(shape: tuple[int, ...], pieces: int) -> Op:
        scaling = Quantization(np.array([scale], np.float32), np.array([zero_point], np.int64))
        return _op(name, [activation("x", shape)], [Tensor("y", shape, TensorType.INT8, quantization=scaling)])

    return build


def _reshape(shape: tuple[int, ...], pieces: int) -> Op:
    flat = (1, int(np.prod(shape)))
    return _op("RESHAPE", [activation("x", shape), integers("shape", flat)], [activation("y", flat)], version=1)


def _transpose(shape: tuple[int, ...], pieces: int) -> Op:
    order = [*range(len(shape) - 2), len(shape) - 1, len(shape) - 2]
    turned = tuple(shape[i] for i in order)
    return _op("TRANSPOSE", [activation("x", shape), integers("order", order)], [activation("y", turned)])


def _resize(name: str, options: str) -> _Builder:
    def build(shape: tuple[int, ...], pieces: int) -> Op:
        large = (1, 2 * shape[1], 2 * shape[2], shape[3])
        size = integers("size", large[1:3])
        return _op(name, [activation("x", shape), size], [activation("y", large)], options)

    return build


def _leaky_relu(shape: tuple[int, ...], pieces: int) -> Op:
    op = _op("LEAKY_RELU", [activation("x", shape)], [activation("y", shape)], "LeakyReluOptions")
    op.options.alpha = 0.1
    return op


def _requantize(source: int, result: int) -> _Builder:
    name = "DEQUANTIZE" if result == TensorType.FLOAT32 else "QUANTIZE"

    def build(shape: tuple[int, ...], pieces: int) -> Op:
        tensors = activation("x", shape, type_=source), activation("y", shape, type_=result, scale=2 * SCALE)
        return _op(name, [tensors[0]], [tensors[1]])

    return build


PLAIN: dict[str, _Builder] = {
    "ADD": _same("ADD", "AddOptions", inputs=2),
    "SUB": _same("SUB", "SubOptions", inputs=2),
    "MUL": _same("MUL", "MulOptions", inputs=2),
    "CONCATENATION": _concatenation,
    "SLICE": _slice,
    "STRIDED_SLICE": _strided_slice,
    "SPLIT": _split,
    "GATHER": _gather,
    "PAD": _pad,
    "MEAN": _mean,
    "AVERAGE_POOL_2D": _pool("AVERAGE_POOL_2D"),
    "MAX_POOL_2D": _pool("MAX_POOL_2D"),
    "SOFTMAX": _softmax,
    "LOGISTIC": _curve("LOGISTIC", 1 / 256, -128),
    "TANH": _curve("TANH", 1 / 128, 0),
    "HARD_SWISH": _same("HARD_SWISH", version=1),
    "LEAKY_RELU": _leaky_relu,
    "RELU": _same("RELU"),
    "RELU6": _same("RELU6"),
    "RESHAPE": _reshape,
    "TRANSPOSE": _transpose,
    "RESIZE_BILINEAR": _resize("RESIZE_BILINEAR", "ResizeBilinearOptions"),
    "RESIZE_NEAREST_NEIGHBOR": _resize("RESIZE_NEAREST_NEIGHBOR", "ResizeNearestNeighborOptions"),
    "QUANTIZE": _requantize(TensorType.INT8, TensorType.INT8),
    "QUANTIZE FLOAT32": _requantize(TensorType.FLOAT32, TensorType.INT8),
    "DEQUANTIZE": _requantize(TensorType.INT8, TensorType.FLOAT32),
    "NEG": _same("NEG", version=1),
    "ABS": _same("ABS"),
}
# What networks with float activations have besides, and int8 ones have as tables or not at all.
FLOATING: dict[str, _Builder] = {
    "GELU": _same("GELU", "GeluOptions", version=1),
    "RSQRT": _same("RSQRT", version=1),
    "SQRT": _same("SQRT", version=1),
    "EXP": _same("EXP", "ExpOptions", version=1),
    "DIV": _same("DIV", "DivOptions", inputs=2, version=1),
    "SQUARED_DIFFERENCE": _same("SQUARED_DIFFERENCE", "SquaredDifferenceOptions", inputs=2, version=1),
}
