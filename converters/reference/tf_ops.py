"""Runs a float graph with TensorFlow's own operators, where gradients are needed.

An entry of :data:`OPS` takes the TensorFlow module, the op and its input values (float constants and activations as
tensors, other constants as NumPy arrays, None for omitted inputs) and returns the op's output, or a list of them,
*before* the fused activation. Axis 0 is the batch; entries keep working with a batch other than the file's wherever
the op allows it. A new operator is one entry and one line in its test.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from converters.reference.tf_layers import PADDING, conv, dense, depthwise, transpose_conv
from converters.tflite.graph import NUMPY_TYPES, Graph, Op, Tensor

_MIRROR_MODES = ("REFLECT", "SYMMETRIC")
# tfl.ActivationFunctionType; 5 (SIGN_BIT) has no gradient and no converter writes it.
_ACTIVATIONS: dict[int, Callable[[Any, Any], Any]] = {
    0: lambda tf, x: x,
    1: lambda tf, x: tf.nn.relu(x),
    2: lambda tf, x: tf.clip_by_value(x, -1.0, 1.0),
    3: lambda tf, x: tf.nn.relu6(x),
    4: lambda tf, x: tf.tanh(x),
}


class OpError(Exception):
    """An operator that is not in :data:`OPS`, or that TensorFlow cannot run as the file has it."""


class Program:
    """The ops that some tensors of a graph depend on, to be run eagerly or traced.

    Raises:
        OpError: One of the operators is not in :data:`OPS`.
    """

    def __init__(self, tf: Any, graph: Graph, targets: Sequence[Tensor]) -> None:
        self.ops = graph.ancestors(targets)
        for op in self.ops:
            if op.name not in OPS:
                raise OpError(f"operator {op.name} ({op.outputs[0].name!r}) has no TensorFlow counterpart in tfmpq")
        self.tf = tf
        constants = dict.fromkeys(t for op in self.ops for t in op.inputs if t is not None and t.data is not None)
        self.constants = {tensor: _constant(tf, tensor) for tensor in constants}

    def run(self, feeds: Mapping[Tensor, Any]) -> tuple[dict[Tensor, Any], dict[Op, Any]]:
        """Value of every tensor, and every op's (first) output before its fused activation.

        Raises:
            OpError: TensorFlow refuses an op.
        """
        values: dict[Tensor | None, Any] = {None: None, **self.constants, **feeds}
        raw: dict[Op, Any] = {}
        for op in self.ops:
            try:
                result = OPS[op.name](self.tf, op, [values[t] for t in op.inputs])
                results = list(result) if isinstance(result, list | tuple) else [result]
                raw[op] = results[0]
                activation = getattr(op.options, "fusedActivationFunction", 0)
                results[0] = _ACTIVATIONS[activation](self.tf, results[0])
            except Exception as error:  # whatever TensorFlow says to an op used in a way not foreseen here
                reason = f"{type(error).__name__}: {str(error).splitlines()[0]}"
                raise OpError(f"operator {op.name} ({op.outputs[0].name!r}): {reason}") from error
            values.update(zip(op.outputs, results, strict=True))
        return {t: v for t, v in values.items() if t is not None}, raw


def _constant(tf: Any, tensor: Tensor) -> Any:
    """A constant's value: float ones (also float16 and quantized) as a float32 tensor, others as an array."""
    values = tensor.array()
    if tensor.quantization is not None:
        along = tensor.quantization.axis if tensor.quantization.scale.size > 1 else 0
        axis = [-1 if i == along else 1 for i in range(values.ndim)]
        scale, zero = tensor.quantization.scale.reshape(axis), tensor.quantization.zero_point.reshape(axis)
        values = ((values.astype(np.int64) - zero) * scale).astype(np.float32)
    return tf.constant(values, tf.float32) if values.dtype.kind == "f" else values


def _reshape(tf: Any, op: Op, x: list[Any]) -> Any:
    if len(x) > 1 and tf.is_tensor(x[1]):
        return tf.reshape(x[0], x[1])  # computed by the graph: knows the batch
    shape = op.outputs[0].shape
    return tf.reshape(x[0], (-1, *shape[1:]) if shape else ())


def _squeeze(tf: Any, op: Op, x: list[Any]) -> Any:
    dims = op.options.squeezeDims
    return tf.squeeze(x[0], None if dims is None else [int(d) for d in dims])


def _slice(tf: Any, op: Op, x: list[Any]) -> Any:
    size, known = x[2], not tf.is_tensor(x[1]) and not tf.is_tensor(x[2])
    if known and x[1][0] == 0 and size[0] == op.input(0).shape[0]:
        size = [-1, *size[1:]]  # the whole batch
    return tf.slice(x[0], x[1], size)


def _strided_slice(tf: Any, op: Op, x: list[Any]) -> Any:
    options, end_mask = op.options, op.options.endMask
    whole = not tf.is_tensor(x[2]) and x[2][0] == op.input(0).shape[0]
    if whole and not 1 & (options.shrinkAxisMask | options.newAxisMask | options.ellipsisMask):
        end_mask |= 1
    return tf.strided_slice(
        x[0],
        *x[1:4],
        begin_mask=options.beginMask,
        end_mask=end_mask,
        ellipsis_mask=options.ellipsisMask,
        new_axis_mask=options.newAxisMask,
        shrink_axis_mask=options.shrinkAxisMask,
    )


def _gather(tf: Any, op: Op, x: list[Any]) -> Any:
    return tf.gather(x[0], x[1], axis=_option(op, "axis"), batch_dims=_option(op, "batchDims"))


def _lookup(tf: Any, op: Op, x: list[Any]) -> Any:
    return tf.gather(x[1], x[0])


def _option(op: Op, name: str) -> int:
    """An option that files without an options table leave at 0."""
    return getattr(op.options, name, 0)


def _pool(kind: str) -> Callable[[Any, Op, list[Any]], Any]:
    def pool(tf: Any, op: Op, x: list[Any]) -> Any:
        options = op.options
        size, stride = (options.filterHeight, options.filterWidth), (options.strideH, options.strideW)
        return getattr(tf.nn, kind)(x[0], size, stride, PADDING[options.padding])

    return pool


def _resize(kind: str) -> Callable[[Any, Op, list[Any]], Any]:
    def resize(tf: Any, op: Op, x: list[Any]) -> Any:
        options = op.options
        return getattr(tf.raw_ops, kind)(
            images=x[0],
            size=x[1],
            align_corners=bool(options.alignCorners),
            half_pixel_centers=bool(options.halfPixelCenters),
        )

    return resize


def _reduce(kind: str) -> Callable[[Any, Op, list[Any]], Any]:
    return lambda tf, op, x: getattr(tf, kind)(x[0], [int(a) for a in np.ravel(x[1])], bool(op.options.keepDims))


def _call(path: str) -> Callable[[Any, Op, list[Any]], Any]:
    """The TensorFlow function ``path`` ("nn.relu") on the op's inputs, none of them an option."""

    def call(tf: Any, op: Op, x: list[Any]) -> Any:
        function = tf
        for part in path.split("."):
            function = getattr(function, part)
        return function(*x)

    return call


OPS: dict[str, Callable[[Any, Op, list[Any]], Any]] = {
    "CONV_2D": conv,
    "DEPTHWISE_CONV_2D": depthwise,
    "TRANSPOSE_CONV": transpose_conv,
    "FULLY_CONNECTED": dense,
    "BATCH_MATMUL": lambda tf, op, x: tf.matmul(*x, adjoint_a=bool(op.options.adjX), adjoint_b=bool(op.options.adjY)),
    # elementwise
    "ADD": _call("add"),
    "SUB": _call("subtract"),
    "MUL": _call("multiply"),
    "DIV": _call("divide"),
    "ADD_N": lambda tf, op, x: tf.add_n(x),
    "MAXIMUM": _call("maximum"),
    "MINIMUM": _call("minimum"),
    "SQUARED_DIFFERENCE": _call("math.squared_difference"),
    "POW": _call("pow"),
    "NEG": _call("negative"),
    "LESS": _call("less"),
    "LESS_EQUAL": _call("less_equal"),
    "GREATER": _call("greater"),
    "GREATER_EQUAL": _call("greater_equal"),
    "EQUAL": _call("equal"),
    "NOT_EQUAL": _call("not_equal"),
    "LOGICAL_AND": _call("logical_and"),
    "LOGICAL_OR": _call("logical_or"),
    "LOGICAL_NOT": _call("logical_not"),
    "SELECT": _call("where"),
    "SELECT_V2": _call("where"),
    "ABS": _call("abs"),
    "EXP": _call("exp"),
    "LOG": _call("math.log"),
    "SQRT": _call("sqrt"),
    "RSQRT": _call("math.rsqrt"),
    "SQUARE": _call("square"),
    "SIN": _call("sin"),
    "COS": _call("cos"),
    # activations
    "LOGISTIC": _call("sigmoid"),
    "TANH": _call("tanh"),
    "RELU": _call("nn.relu"),
    "RELU6": _call("nn.relu6"),
    "RELU_N1_TO_1": lambda tf, op, x: tf.clip_by_value(x[0], -1.0, 1.0),
    "RELU_0_TO_1": lambda tf, op, x: tf.clip_by_value(x[0], 0.0, 1.0),
    "LEAKY_RELU": lambda tf, op, x: tf.nn.leaky_relu(x[0], op.options.alpha),
    "PRELU": lambda tf, op, x: tf.nn.relu(x[0]) + x[1] * tf.minimum(x[0], 0.0),
    "ELU": _call("nn.elu"),
    "GELU": lambda tf, op, x: tf.nn.gelu(x[0], bool(op.options.approximate)),
    "HARD_SWISH": lambda tf, op, x: x[0] * tf.nn.relu6(x[0] + 3.0) / 6.0,
    "SOFTMAX": lambda tf, op, x: tf.nn.softmax(op.options.beta * x[0]),
    "LOG_SOFTMAX": _call("nn.log_softmax"),
    "L2_NORMALIZATION": lambda tf, op, x: tf.math.l2_normalize(x[0], -1),
    # reductions, pooling, resizing
    "MEAN": _reduce("reduce_mean"),
    "SUM": _reduce("reduce_sum"),
    "REDUCE_MAX": _reduce("reduce_max"),
    "REDUCE_MIN": _reduce("reduce_min"),
    "REDUCE_PROD": _reduce("reduce_prod"),
    "MAX_POOL_2D": _pool("max_pool2d"),
    "AVERAGE_POOL_2D": _pool("avg_pool2d"),
    "RESIZE_BILINEAR": _resize("ResizeBilinear"),
    "RESIZE_NEAREST_NEIGHBOR": _resize("ResizeNearestNeighbor"),
    # shapes and data movement
    "RESHAPE": _reshape,
    "SQUEEZE": _squeeze,
    "EXPAND_DIMS": lambda tf, op, x: tf.expand_dims(x[0], int(np.ravel(x[1])[0])),
    "TRANSPOSE": _call("transpose"),
    "CONCATENATION": lambda tf, op, x: tf.concat(x, op.options.axis),
    "PACK": lambda tf, op, x: tf.stack(x, op.options.axis),
    "UNPACK": lambda tf, op, x: tf.unstack(x[0], op.options.num, op.options.axis),
    "SPLIT": lambda tf, op, x: tf.split(x[1], op.options.numSplits, int(np.ravel(x[0])[0])),
    "SPLIT_V": lambda tf, op, x: tf.split(x[0], x[1], int(np.ravel(x[2])[0])),
    "SLICE": _slice,
    "STRIDED_SLICE": _strided_slice,
    "GATHER": _gather,
    "EMBEDDING_LOOKUP": _lookup,
    "TILE": _call("tile"),
    "BROADCAST_TO": _call("broadcast_to"),
    "REVERSE_V2": _call("reverse"),
    "PAD": _call("pad"),
    "PADV2": lambda tf, op, x: tf.pad(x[0], x[1], constant_values=tf.reshape(x[2], ())),
    "MIRROR_PAD": lambda tf, op, x: tf.pad(x[0], x[1], _MIRROR_MODES[op.options.mode]),
    "SPACE_TO_BATCH_ND": _call("space_to_batch"),
    "BATCH_TO_SPACE_ND": _call("batch_to_space"),
    "SPACE_TO_DEPTH": lambda tf, op, x: tf.nn.space_to_depth(x[0], op.options.blockSize),
    "DEPTH_TO_SPACE": lambda tf, op, x: tf.nn.depth_to_space(x[0], op.options.blockSize),
    "SHAPE": lambda tf, op, x: tf.shape(x[0], tf.as_dtype(NUMPY_TYPES[op.outputs[0].type])),
    "CAST": lambda tf, op, x: tf.cast(x[0], tf.as_dtype(NUMPY_TYPES[op.outputs[0].type])),
    # a float graph's own quantization steps: the values stay as they are
    "QUANTIZE": lambda tf, op, x: x[0],
    "DEQUANTIZE": lambda tf, op, x: x[0],
}
