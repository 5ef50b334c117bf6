"""Operators with weights in TensorFlow's own: what :data:`converters.reference.tf_ops.OPS` holds of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from converters.tflite.graph import Op

PADDING = ("SAME", "VALID")


def _with_bias(tf: Any, value: Any, bias: Sequence[Any]) -> Any:
    return value if not bias or bias[0] is None else tf.nn.bias_add(value, tf.reshape(bias[0], (-1,)))


def _convolve(tf: Any, op: Op, x: Any, kernel: Any, depthwise: bool) -> Any:
    """Convolution with a (kh, kw, Cin, Cout) kernel, or a depthwise one with (kh, kw, C, multiplier)."""
    options, padding = op.options, PADDING[op.options.padding]
    stride, dilation = (options.strideH, options.strideW), (options.dilationHFactor, options.dilationWFactor)

    def run(x: Any, stride: tuple[int, int], padding: str) -> Any:
        if depthwise:
            return tf.nn.depthwise_conv2d(x, kernel, [1, *stride, 1], padding, dilations=dilation)
        return tf.nn.convolution(x, kernel, stride, padding, dilations=dilation)

    if stride == (1, 1) or (dilation == (1, 1) and not (depthwise and stride[0] != stride[1])):
        return run(x, stride, padding)
    # TensorFlow has no gradient for strides with dilation or unequal depthwise strides: drop outputs of stride 1.
    if padding == "SAME":
        reach = [(n - 1) * d + 1 for n, d in zip(kernel.shape[:2], dilation, strict=True)]
        total = [max((-(-n // s) - 1) * s + r - n, 0) for n, s, r in zip(x.shape[1:3], stride, reach, strict=True)]
        x = tf.pad(x, [(0, 0), *((t // 2, t - t // 2) for t in total), (0, 0)])
    return run(x, (1, 1), "VALID")[:, :: stride[0], :: stride[1]]


def conv(tf: Any, op: Op, x: list[Any]) -> Any:
    """CONV_2D, grouped or not."""
    source, kernel = x[0], tf.transpose(x[1], (1, 2, 3, 0))
    groups = source.shape[-1] // kernel.shape[2]
    # CPU kernels have no gradient for grouped convolutions.
    pieces = zip(tf.split(source, groups, -1), tf.split(kernel, groups, -1), strict=True)
    values = [_convolve(tf, op, piece, part, False) for piece, part in pieces]
    return _with_bias(tf, values[0] if groups == 1 else tf.concat(values, -1), x[2:])


def depthwise(tf: Any, op: Op, x: list[Any]) -> Any:
    """DEPTHWISE_CONV_2D."""
    kernel = tf.reshape(x[1], (*x[1].shape[1:3], x[0].shape[-1], -1))
    return _with_bias(tf, _convolve(tf, op, x[0], kernel, True), x[2:])


def transpose_conv(tf: Any, op: Op, x: list[Any]) -> Any:
    """TRANSPOSE_CONV, with a batch that may differ from the file's."""
    shape = tf.concat([tf.shape(x[2])[:1], x[0][1:]], 0)
    stride, kernel = (op.options.strideH, op.options.strideW), tf.transpose(x[1], (1, 2, 0, 3))
    value = tf.nn.conv2d_transpose(x[2], kernel, shape, stride, PADDING[op.options.padding])
    return _with_bias(tf, tf.ensure_shape(value, (None, *op.outputs[0].shape[1:])), x[3:])


def dense(tf: Any, op: Op, x: list[Any]) -> Any:
    """FULLY_CONNECTED."""
    value = tf.matmul(tf.reshape(x[0], (-1, x[1].shape[-1])), x[1], transpose_b=True)
    if op.options.keepNumDims:
        value = tf.reshape(value, (-1, *x[0].shape[1:-1], x[1].shape[0]))
    return _with_bias(tf, value, x[2:])
