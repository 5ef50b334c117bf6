"""Files of a single operator that the delegate may or may not take."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from converters.tflite.graph import BuiltinOperator, Op, Quantization, Tensor, TensorType
from tests.support.op_models import bias, file_of, integers, layer_op, weight

SHAPE = (1, 8, 8, 16)
TYPES = {
    "int8": TensorType.INT8,
    "int16": TensorType.INT16,
    "float": TensorType.FLOAT32,
    "int32": TensorType.INT32,
    "int64": TensorType.INT64,
    "bool": TensorType.BOOL,
}
_OPTIONS = {
    "SOFTMAX": "SoftmaxOptions", "LEAKY_RELU": "LeakyReluOptions", "ABS": "AbsOptions", "NEG": "NegOptions",
    "EXP": "ExpOptions", "SQUARE": "SquareOptions", "COS": "CosOptions", "GELU": "GeluOptions",
    "HARD_SWISH": "HardSwishOptions", "MAXIMUM": "MaximumMinimumOptions", "MINIMUM": "MaximumMinimumOptions",
    "SQUARED_DIFFERENCE": "SquaredDifferenceOptions", "ADD": "AddOptions", "SUB": "SubOptions", "MUL": "MulOptions",
    "DIV": "DivOptions", "POW": "PowOptions", "L2_NORMALIZATION": "L2NormOptions", "LOG_SOFTMAX": "LogSoftmaxOptions",
    "QUANTIZE": "QuantizeOptions", "DEQUANTIZE": "DequantizeOptions", "CAST": "CastOptions",
}  # fmt: skip
_BINARY = {"ADD", "SUB", "MUL", "DIV", "MAXIMUM", "MINIMUM", "SQUARED_DIFFERENCE", "POW"}
# Scales that the int8 kernels insist on.
_SCALES = {"LOGISTIC": (1 / 256, -128), "SOFTMAX": (1 / 256, -128), "TANH": (1 / 128, 0)}


def tensor(name: str, shape: tuple[int, ...], dtype: str, scale: float = 0.05, zero: int = 0) -> Tensor:
    """An activation."""
    scaling = Quantization(np.array([scale], np.float32), np.array([zero])) if dtype in ("int8", "int16") else None
    return Tensor(name, shape, TYPES[dtype], None, scaling)


def matrix(name: str, values: list[list[int]]) -> Tensor:
    array = np.array(values, np.int32)
    return Tensor(name, array.shape, TensorType.INT32, array.tobytes())


def one_op(
    name: str,
    inputs: list[Tensor],
    outputs: list[Tensor],
    options: str | None = None,
    version: int = 2,
    **settings: Any,
) -> bytes:
    """A file of one operator; what no constant gives is an input of the file."""
    kind, value = 0, None
    if options is not None:
        value, kind = getattr(schema, f"{options}T")(), getattr(schema.BuiltinOptions, options)
        for key, setting in settings.items():
            assert hasattr(value, key), key
            setattr(value, key, setting)
    op = Op(getattr(BuiltinOperator, name), [*inputs], outputs, version, kind, value)
    return file_of([op], list(dict.fromkeys(t for t in inputs if t.data is None)), outputs)


def elementwise(name: str, dtype: str) -> bytes:
    """An operator on one or two activations of the same shape."""
    settings = {"SOFTMAX": {"beta": 1.0}, "LEAKY_RELU": {"alpha": 0.1}}.get(name, {})
    scale, zero = _SCALES.get(name, (0.05, 0))
    result = tensor("y", SHAPE, dtype, scale, zero)
    if name in ("QUANTIZE", "DEQUANTIZE"):
        types = ("float", "int8") if name == "QUANTIZE" else ("int8", "float")
        return one_op(name, [tensor("x", SHAPE, types[0])], [tensor("y", SHAPE, types[1])], _OPTIONS[name])
    if name == "CAST":
        return one_op(name, [tensor("x", SHAPE, dtype)], [tensor("y", SHAPE, "int32")], _OPTIONS[name], 1)
    inputs = [tensor(f"x{i}", SHAPE, dtype) for i in range(2 if name in _BINARY else 1)]
    version = 2 if name in _BINARY - {"DIV", "POW"} | {"RELU", "RELU6"} else 1
    return one_op(name, inputs, [result], _OPTIONS.get(name), version, **settings)


def prelu(dtype: str) -> bytes:
    slopes = np.ones((1, 1, 16), np.float32 if dtype == "float" else np.int8)
    alpha = tensor("alpha", (1, 1, 16), dtype)
    alpha.data = slopes.tobytes()
    return one_op("PRELU", [tensor("x", SHAPE, dtype), alpha], [tensor("y", SHAPE, dtype)], version=1)


def joined(count: int, dtype: str = "int8") -> bytes:
    parts = [tensor(f"x{i}", (1, 8, 8, 4), dtype) for i in range(count)]
    return one_op("CONCATENATION", parts, [tensor("y", (1, 8, 8, 4 * count), dtype)], "ConcatenationOptions", axis=3)


def pieces(count: int, dtype: str = "int8") -> bytes:
    parts = [tensor(f"y{i}", (1, 8, 8, 4), dtype) for i in range(count)]
    inputs = [integers("axis", [3]), tensor("x", (1, 8, 8, 4 * count), dtype)]
    inputs[0].shape = ()
    return one_op("SPLIT", inputs, parts, "SplitOptions", numSplits=count)


def pooled(name: str, dtype: str, window: int, stride: int) -> bytes:
    side = (8 - window) // stride + 1
    sizes = {"filterWidth": window, "filterHeight": window, "strideW": stride, "strideH": stride, "padding": 1}
    return one_op(
        name, [tensor("x", SHAPE, dtype)], [tensor("y", (1, side, side, 16), dtype)], "Pool2DOptions", **sizes
    )


def strided(dtype: str, step: int, *, shrink: int = 0) -> bytes:
    ends = [1, 1 if shrink else 8, 8, 16]
    inputs = [integers("b", [0] * 4), integers("e", ends), integers("s", [1, step, step, 1])]
    shape = (1, 8, 16) if shrink else (1, 8 // step, 8 // step, 16)
    kind = "StridedSliceOptions"
    x = tensor("x", SHAPE, dtype)
    return one_op("STRIDED_SLICE", [x, *inputs], [tensor("y", shape, dtype)], kind, shrinkAxisMask=shrink)


def window(kind: Any, bits: int, dtype: str = "int8", *, columns: int = 16) -> bytes:
    """A convolution (3x3), depthwise convolution or dense layer with integer weights."""
    shape = {"conv": (8, 3, 3, 16), "depthwise": (1, 3, 3, 16), "dense": (8, columns)}[kind]
    source, target = {
        "conv": (SHAPE, (1, 6, 6, 8)), "depthwise": (SHAPE, (1, 6, 6, 16)), "dense": ((1, columns), (1, 8)),
    }[kind]  # fmt: skip
    rows = 16 if kind == "depthwise" else 8
    codes = np.random.default_rng(0).integers(-8, 8, shape)
    x, y = tensor("x", source, dtype), tensor("y", target, dtype)
    kernel = weight("w", kind, codes, np.full(rows, 0.01), int4=bits == 4)
    if dtype == "float":
        offset = Tensor("b", (rows,), TensorType.FLOAT32, bytes(4 * rows))
    elif dtype == "int16":
        scaling = Quantization(np.full(rows, 0.0005, np.float32), np.zeros(rows, np.int64))
        offset = Tensor("b", (rows,), TensorType.INT64, bytes(8 * rows), scaling)
    else:
        offset = bias("b", np.zeros(rows), x, kernel)
    return file_of([layer_op(kind, x, kernel, offset, y)], [x], [y])


def computed_weights() -> bytes:
    x, kernel, y = tensor("x", (1, 16), "int8"), tensor("w", (8, 16), "int8"), tensor("y", (1, 8), "int8")
    return file_of([layer_op("dense", x, kernel, None, y)], [x, kernel], [y])


def moved(name: str, dtype: str) -> bytes:
    """An operator that only moves or repeats values."""
    x = tensor("x", SHAPE, dtype)
    cases: dict[str, Callable[[], bytes]] = {
        "RESHAPE": lambda: one_op(name, [x, integers("s", [1, 1024])], [tensor("y", (1, 1024), dtype)],
                                  "ReshapeOptions", 1, newShape=[1, 1024]),
        "SQUEEZE": lambda: one_op(name, [tensor("x", (1, 1, 8, 16), dtype)], [tensor("y", (1, 8, 16), dtype)],
                                  "SqueezeOptions", 1, squeezeDims=[1]),
        "EXPAND_DIMS": lambda: one_op(name, [x, integers("a", [1])], [tensor("y", (1, 1, 8, 8, 16), dtype)],
                                      "ExpandDimsOptions", 1),
        "TRANSPOSE": lambda: one_op(name, [x, integers("p", [0, 3, 1, 2])], [tensor("y", (1, 16, 8, 8), dtype)],
                                    "TransposeOptions"),
        "TILE": lambda: one_op(name, [x, integers("m", [1, 2, 1, 1])], [tensor("y", (1, 16, 8, 16), dtype)],
                               "TileOptions"),
        "PACK": lambda: one_op(name, [x, tensor("x1", SHAPE, dtype)], [tensor("y", (2, *SHAPE), dtype)], "PackOptions",
                               valuesCount=2, axis=0),
        "UNPACK": lambda: one_op(name, [tensor("x", (1, 2, 16), dtype)],
                                 [tensor("y", (1, 16), dtype), tensor("z", (1, 16), dtype)], "UnpackOptions",
                                 num=2, axis=1),
        "SLICE": lambda: one_op(name, [x, integers("b", [0, 0, 0, 4]), integers("s", [1, 8, 8, 4])],
                                [tensor("y", (1, 8, 8, 4), dtype)], "SliceOptions"),
        "PAD": lambda: one_op(name, [x, matrix("p", [[0, 0], [1, 1], [1, 1], [0, 0]])],
                              [tensor("y", (1, 10, 10, 16), dtype)], "PadOptions"),
        "MIRROR_PAD": lambda: one_op(name, [x, matrix("p", [[0, 0], [1, 1], [1, 1], [0, 0]])],
                                     [tensor("y", (1, 10, 10, 16), dtype)], "MirrorPadOptions"),
        "DEPTH_TO_SPACE": lambda: one_op(name, [x], [tensor("y", (1, 16, 16, 4), dtype)], "DepthToSpaceOptions",
                                         blockSize=2),
        "SPACE_TO_DEPTH": lambda: one_op(name, [x], [tensor("y", (1, 4, 4, 64), dtype)], "SpaceToDepthOptions",
                                         blockSize=2),
        "GATHER": lambda: one_op(name, [x, integers("i", [3, 2])], [tensor("y", (1, 8, 8, 2), dtype)], "GatherOptions",
                                 axis=3),
        "SPLIT_V": lambda: one_op(name, [x, integers("s", [4, 12]), integers("a", [3])],
                                  [tensor("y", (1, 8, 8, 4), dtype), tensor("z", (1, 8, 8, 12), dtype)],
                                  "SplitVOptions", numSplits=2),
        "RESIZE_BILINEAR": lambda: one_op(name, [x, integers("s", [16, 16])], [tensor("y", (1, 16, 16, 16), dtype)],
                                          "ResizeBilinearOptions", 3, halfPixelCenters=True),
        "RESIZE_NEAREST_NEIGHBOR": lambda: one_op(name, [x, integers("s", [16, 16])],
                                                  [tensor("y", (1, 16, 16, 16), dtype)],
                                                  "ResizeNearestNeighborOptions"),
        "ARG_MAX": lambda: one_op(name, [x, integers("a", [3])], [tensor("y", (1, 8, 8), "int64")], "ArgMaxOptions",
                                  outputType=TensorType.INT64),
        "BATCH_MATMUL": lambda: one_op(name, [tensor("x", (1, 8, 16), dtype), tensor("x1", (1, 16, 4), dtype)],
                                       [tensor("y", (1, 8, 4), dtype)], "BatchMatMulOptions"),
    }  # fmt: skip
    return cases[name]()


def product(zero: int) -> bytes:
    """A product of two activations, the right one with a zero point."""
    sides = [tensor("a", (1, 8, 16), "int8", zero=7), tensor("b", (1, 16, 4), "int8", zero=zero)]
    return one_op("BATCH_MATMUL", sides, [tensor("y", (1, 8, 4), "int8")], "BatchMatMulOptions")


def reduced(name: str, dtype: str) -> bytes:
    inputs = [tensor("x", SHAPE, dtype), integers("a", [1, 2])]
    return one_op(name, inputs, [tensor("y", (1, 1, 1, 16), dtype)], "ReducerOptions", keepDims=True)
