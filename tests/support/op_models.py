"""Files of one int8 operator, built from graph objects: what several test modules feed to the kernels."""

from __future__ import annotations

from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from converters.layers.kinds import KINDS
from converters.runtime.interpreter import Kernels, make_interpreter
from converters.tflite.graph import BuiltinOperator, Graph, Model, Op, Quantization, Tensor, TensorType
from converters.tflite.packing import pack_int4
from converters.tflite.writer import save

KERNELS: tuple[Kernels, ...] = ("xnnpack", "builtin", "reference")
ACTIVATIONS = {"NONE": 0, "RELU": 1, "RELU_N1_TO_1": 2, "RELU6": 3}
PADDING = {"SAME": 0, "VALID": 1}
_CODES: dict[str, int] = {
    "conv": BuiltinOperator.CONV_2D,
    "depthwise": BuiltinOperator.DEPTHWISE_CONV_2D,
    "dense": BuiltinOperator.FULLY_CONNECTED,
    "transpose_conv": BuiltinOperator.TRANSPOSE_CONV,
}


def activation(name: str, shape: tuple[int, ...], scale: float, zero_point: int) -> Tensor:
    """An int8 activation."""
    scaling = Quantization(np.array([scale], np.float32), np.array([zero_point], np.int64))
    return Tensor(name, shape, TensorType.INT8, quantization=scaling)


def weight(name: str, kind: str, codes: np.ndarray, scale: np.ndarray, *, int4: bool = False) -> Tensor:
    """An int8 or int4 weight in the file's layout, one scale a channel."""
    scaling = Quantization(scale.astype(np.float32), np.zeros(scale.size, np.int64), KINDS[kind].row_axis)
    data = pack_int4(codes) if int4 else codes.astype(np.int8).tobytes()
    return Tensor(name, codes.shape, TensorType.INT4 if int4 else TensorType.INT8, data, scaling)


def bias(name: str, codes: np.ndarray, source: Tensor, weight: Tensor) -> Tensor:
    """An int32 bias in units of input scale times weight scale."""
    assert weight.quantization is not None
    scale = np.float32(source.scale) * weight.quantization.scale
    return Tensor(
        name,
        codes.shape,
        TensorType.INT32,
        codes.astype(np.int32).tobytes(),
        Quantization(scale, np.zeros(scale.size, np.int64)),
    )


def integers(name: str, values: list[int]) -> Tensor:
    """A constant int32 vector."""
    return Tensor(name, (len(values),), TensorType.INT32, np.array(values, np.int32).tobytes())


def layer_op(
    kind: str,
    source: Tensor,
    weights: Tensor,
    biases: Tensor | None,
    output: Tensor,
    *,
    stride: tuple[int, int] = (1, 1),
    dilation: tuple[int, int] = (1, 1),
    padding: str = "VALID",
    fused: str = "NONE",
    keep_dims: bool = False,
) -> Op:
    """A convolution or dense layer."""
    options: Any
    if kind == "dense":
        options, options_type = schema.FullyConnectedOptionsT(), schema.BuiltinOptions.FullyConnectedOptions
        options.keepNumDims = keep_dims
    else:
        if kind == "conv":
            options, options_type = schema.Conv2DOptionsT(), schema.BuiltinOptions.Conv2DOptions
        elif kind == "depthwise":
            options, options_type = schema.DepthwiseConv2DOptionsT(), schema.BuiltinOptions.DepthwiseConv2DOptions
            options.depthMultiplier = weights.shape[3] // source.shape[3]
        else:
            options, options_type = schema.TransposeConvOptionsT(), schema.BuiltinOptions.TransposeConvOptions
        options.strideH, options.strideW = stride
        options.padding = PADDING[padding]
        if kind != "transpose_conv":
            options.dilationHFactor, options.dilationWFactor = dilation
    options.fusedActivationFunction = ACTIVATIONS[fused]
    inputs: list[Tensor | None] = [source, weights]
    if kind == "transpose_conv":
        inputs = [integers("output_shape", list(output.shape)), weights, source]
    if biases is not None or kind == "dense":  # only dense layers may say "none" instead of ending early
        inputs.append(biases)
    return Op(_CODES[kind], inputs, [output], 4 if kind == "dense" else 3, options_type, options)


def add_op(first: Tensor, second: Tensor, output: Tensor, *, fused: str = "NONE") -> Op:
    """The sum of two activations."""
    options = schema.AddOptionsT()
    options.fusedActivationFunction = ACTIVATIONS[fused]
    return Op(BuiltinOperator.ADD, [first, second], [output], 2, schema.BuiltinOptions.AddOptions, options)


def concat_op(parts: list[Tensor], output: Tensor, *, axis: int) -> Op:
    """Activations joined along an axis."""
    options = schema.ConcatenationOptionsT()
    options.axis = axis
    joined: list[Tensor | None] = [*parts]
    kind = schema.BuiltinOptions.ConcatenationOptions
    return Op(BuiltinOperator.CONCATENATION, joined, [output], 2, kind, options)


def file_of(ops: list[Op], inputs: list[Tensor], outputs: list[Tensor]) -> bytes:
    """A file without a signature: feeds go by tensor name."""
    return save(Model([Graph(inputs, outputs, ops)], [], {}))


def run_kernels(content: bytes, kernels: Kernels, feeds: list[np.ndarray]) -> list[np.ndarray]:
    """Outputs of the file for its inputs in order."""
    interpreter = make_interpreter(content, kernels=kernels)
    for detail, values in zip(interpreter.get_input_details(), feeds, strict=True):
        interpreter.set_tensor(detail["index"], values)
    interpreter.invoke()
    return [interpreter.get_tensor(detail["index"]) for detail in interpreter.get_output_details()]


def softmax_file(scale: float) -> bytes:
    """One int8 SOFTMAX of ten scores with the given input scale."""
    source, result = activation("x", (1, 10), scale, 0), activation("y", (1, 10), 1 / 256, -128)
    options = schema.SoftmaxOptionsT()
    options.beta = 1.0
    op = Op(BuiltinOperator.SOFTMAX, [source], [result], 2, schema.BuiltinOptions.SoftmaxOptions, options)
    return save(Model([Graph([source], [result], [op])], [], {}))
