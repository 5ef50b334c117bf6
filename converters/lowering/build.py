"""Small pieces every lowering needs: constants and copies of ops."""

from __future__ import annotations

import copy

import numpy as np

from converters.layers.kinds import WeightKind
from converters.tflite.graph import Op, Quantization, Tensor, TensorType
from converters.tflite.packing import pack_int4


def constant_weight(
    name: str, kind: WeightKind, codes: np.ndarray, scale: np.ndarray, shape: tuple[int, ...], *, int4: bool = False
) -> Tensor:
    """Per-channel weight tensor of integer rows ``codes`` (rows, d); ``shape`` is the layer's full layout."""
    array = kind.tensor(codes, shape)
    data = pack_int4(array) if int4 else array.astype(np.int8, copy=False).tobytes()
    quantization = Quantization(scale.astype(np.float32), np.zeros(len(scale), np.int64), kind.row_axis)
    return Tensor(name, array.shape, TensorType.INT4 if int4 else TensorType.INT8, data, quantization)


def constant_bias(name: str, bias: np.ndarray, source: Tensor, weight_scale: np.ndarray) -> Tensor:
    """Bias of an operator that reads ``source``: as it is beside float, else int32 in units of the two scales."""
    if source.type == TensorType.FLOAT32:
        return float_bias(name, bias)
    return bias_tensor(name, bias_codes(bias, source.scale, weight_scale), source.scale, weight_scale)


def float_bias(name: str, bias: np.ndarray) -> Tensor:
    """Bias of an operator with float activations."""
    return Tensor(name, bias.shape, TensorType.FLOAT32, bias.astype(np.float32).tobytes())


def bias_codes(bias: np.ndarray, input_scale: float, weight_scale: np.ndarray) -> np.ndarray:
    """Real biases as int32 multiples of input_scale * weight_scale."""
    units = bias_scale(input_scale, weight_scale).astype(np.float64)
    return np.clip(np.rint(bias / units), -(2.0**31), 2.0**31 - 1).astype(np.int32)


def bias_tensor(name: str, codes: np.ndarray, input_scale: float, weight_scale: np.ndarray) -> Tensor:
    """Constant of int32 ``codes``."""
    scaling = Quantization(bias_scale(input_scale, weight_scale), np.zeros(len(codes), np.int64), 0)
    return Tensor(name, codes.shape, TensorType.INT32, codes.astype(np.int32).tobytes(), scaling)


def bias_scale(input_scale: float, weight_scale: np.ndarray) -> np.ndarray:
    """Scale of a layer's bias; the product is formed in float32, as the runtime checks it."""
    return (np.float32(input_scale) * weight_scale.astype(np.float32)).astype(np.float32)


def copy_op(op: Op, inputs: list[Tensor | None], outputs: list[Tensor], **options: int) -> Op:
    """The same operator with other tensors and, where given, other options."""
    result = Op(
        op.code, inputs, outputs, op.version, op.options_type, copy.copy(op.options), op.custom_code, [], op.raw
    )
    for key, value in options.items():
        assert hasattr(result.options, key), key
        setattr(result.options, key, value)
    return result
