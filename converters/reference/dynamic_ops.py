"""NumPy reference of operators with float activations and integer weights (dynamic range), with their tolerance.

Such an operator rounds its activation to 8 bits at run time (:mod:`converters.reference.rounded_rows`): FULLY_CONNECTED
and BATCH_MATMUL each row, convolutions each image, XNNPACK's 1x1 ones each position. It adds up integer products
exactly, and multiplies the sum with the scales of row and channel in float32. A kernel may thus differ from this
reference by

* what codes next to a tie are worth: for each of them, its weight times the scales;
* float32: the scales take at most six roundings of the product, the bias and the result one each. The built-in kernel
  of INT4 dense layers adds sum(x (w + 8)) - 8 sum(x), each brought to float32 first: its terms count, not their sum.
  That of TRANSPOSE_CONV adds up products in float32: each addition rounds a sum of no more than all their magnitudes.
  What is rounded are the kernel's own sums, with its own choice of doubtful codes, and not this reference's: where
  doubtful codes are all there is, this reference's may be 0.

Sums are formed in float64, which holds them exactly.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from converters.layers.kinds import kind_of
from converters.reference.fused_activations import CLIPS
from converters.reference.moves import MOVES, given
from converters.reference.rounded_rows import RoundedRows, around_zero, between_extremes
from converters.runtime.interpreter import Kernels
from converters.tflite.graph import BuiltinOperator, Op, Tensor, TensorType

_Values: TypeAlias = Sequence["np.ndarray | None"]
_ROUNDING = 2.0**-24  # relative error of one float32 operation
_OF_PRODUCT, _OF_RESULT = 8, 2  # roundings, with two and one to spare
_LEAST = 2.0**-126  # smaller results may be stored as 0
_LARGEST = 2.0**120  # beyond it, intermediate results of kernels leave float32
_NIBBLE_ZERO = 8  # what the built-in INT4 kernel adds to weights
_NIBBLE_ROWS, _NIBBLE_COLUMNS = 4, 32  # the least it takes
# schema.ActivationFunctionType -> bounds of the fused activation


@dataclass(frozen=True)
class Computed:
    """An output of an operator.

    Attributes:
        values: what it is, in float64.
        tolerance: how far a kernel's may be from it, of the same shape; inf where kernels may leave float32.
    """

    values: np.ndarray
    tolerance: np.ndarray


def run_dynamic_op(op: Op, values: _Values, *, kernels: Kernels) -> list[list[Computed]]:
    """Computes one operator.

    Args:
        op: FULLY_CONNECTED, CONV_2D, DEPTHWISE_CONV_2D, TRANSPOSE_CONV, BATCH_MATMUL or EMBEDDING_LOOKUP with constant
            int8 or int4 weights and float output; ADD, CONCATENATION, GATHER, SLICE, STRIDED_SLICE or SPLIT of float.
        values: an array for every input, in the operator's order; None for omitted ones and constants.
        kernels: what runs it.

    Returns:
        One list an output: what it may be, the likeliest first. There are several where the kernels of this name have
        several ways of rounding rows, as XNNPACK leaves some operators to the built-in ones.

    Raises:
        NotImplementedError: There is no reference for this operator or for an option it uses.
    """
    taken = [
        value if value is not None or tensor is None or tensor.data is None else tensor.array()
        for value, tensor in zip(values, op.inputs, strict=True)
    ]
    if any(tensor.type != TensorType.FLOAT32 for tensor in op.outputs):
        raise NotImplementedError(f"{op.name} has a reference of float activations for float outputs only")
    if op.code in MOVES:
        return [[_exact(part)] for part in MOVES[op.code][1](op, taken)]
    handler = _HANDLERS.get(op.code)
    if handler is not None:
        return [[handler(op, taken)]]
    if op.code == BuiltinOperator.BATCH_MATMUL or kind_of(op) is not None:
        return [[_layer(op, taken, way) for way in _ways(op, kernels)]]
    raise NotImplementedError(f"{op.name} has no reference of float activations")


def _exact(values: np.ndarray) -> Computed:
    return Computed(values.astype(np.float64), np.zeros(values.shape))


def _activated(op: Op, values: np.ndarray, tolerance: np.ndarray) -> Computed:
    activation = getattr(op.options, "fusedActivationFunction", 0)
    if activation not in CLIPS:
        raise NotImplementedError(f"fused activation {activation} has no reference")
    return Computed(np.clip(values, *CLIPS[activation]), tolerance)


# ---------------------------------------------------------------- layers


@dataclass(frozen=True)
class _Way:
    """How a kernel computes a layer.

    Attributes:
        rounded: how it rounds rows.
        nibbles: whether it adds INT4 weights as nibbles above zero.
        floats: whether it adds up products in float32.
        by_position: whether it rounds each position of an image.
    """

    rounded: Callable[[np.ndarray], RoundedRows]
    nibbles: bool = False
    floats: bool = False
    by_position: bool = False


_EXTREMES, _AROUND_ZERO, _NIBBLES = _Way(between_extremes), _Way(around_zero), _Way(around_zero, nibbles=True)
_FLOATS, _BY_POSITION = _Way(between_extremes, floats=True), _Way(between_extremes, by_position=True)


def _ways(op: Op, kernels: Kernels) -> list[_Way]:
    weight = op.input(_places(op)[1])
    builtin = _EXTREMES
    if hasattr(op.options, "asymmetricQuantizeInputs") and not op.options.asymmetricQuantizeInputs:
        builtin = _AROUND_ZERO
    if op.code == BuiltinOperator.CONV_2D and weight.quantization is not None:
        # The built-in kernels take scales that are all the same for one.
        same = (weight.quantization.scale == weight.quantization.scale[0]).all()
        grouped = op.input(0).shape[-1] != weight.shape[-1]
        builtin = _AROUND_ZERO if same and not grouped else _EXTREMES
    if op.code == BuiltinOperator.FULLY_CONNECTED and weight.type == TensorType.INT4 and kernels != "reference":
        rows, columns = weight.shape
        if rows >= _NIBBLE_ROWS and columns >= _NIBBLE_COLUMNS and columns % 2 == 0:
            builtin = _NIBBLES
    if op.code == BuiltinOperator.TRANSPOSE_CONV:
        builtin = _FLOATS
    pointwise = op.code == BuiltinOperator.CONV_2D and _is_pointwise(op, weight)
    delegated = [_BY_POSITION, _EXTREMES] if pointwise else [_EXTREMES]
    return list(dict.fromkeys([*delegated, builtin] if kernels == "xnnpack" else [builtin]))


def _is_pointwise(op: Op, weight: Tensor) -> bool:
    return tuple(weight.shape[1:3]) == (op.options.strideH, op.options.strideW) == (1, 1)


def _places(op: Op) -> tuple[int, int, int | None]:
    """Inputs that are activation, weight and bias."""
    kind = kind_of(op)
    return (0, 1, None) if kind is None else (kind.site.activation, kind.site.weight, kind.site.bias)


def _layer(op: Op, values: _Values, way: _Way) -> Computed:
    activation, weight_slot, bias_slot = _places(op)
    weight, tensor = given(op, values[weight_slot]), op.input(weight_slot)
    if tensor.quantization is None or tensor.type not in (TensorType.INT8, TensorType.INT4):
        raise NotImplementedError(f"{op.name} has a reference of float activations for int8 and int4 weights only")
    if tensor.quantization.zero_point.any():
        raise NotImplementedError(f"{op.name} with weights that have a zero point has no reference")
    x = given(op, values[activation])
    product = _matmul if op.code == BuiltinOperator.BATCH_MATMUL else _rows_of_kind
    sums, doubt, parts, scale = product(op, x, weight.astype(np.float64), tensor, way)
    results, error = sums * scale, doubt * scale + _OF_PRODUCT * _ROUNDING * (parts + doubt) * scale
    if bias_slot is not None and op.optional_input(bias_slot) is not None:
        bias = given(op, values[bias_slot])
        results = results + bias.astype(np.float64)
        error = error + _ROUNDING * np.abs(bias.astype(np.float64))
    error = error + _OF_RESULT * _ROUNDING * (np.abs(results) + doubt * scale) + _LEAST
    # Some multiply a sum of codes with one scale first.
    largest = (parts + doubt) * scale * np.maximum(1, 1 / _channel_scales(op, tensor, weight.shape).min(initial=1))
    error = np.where(np.maximum(largest, np.abs(results)) < _LARGEST, error, np.inf)
    return _activated(op, results, error)


def _channel_scales(op: Op, tensor: Tensor, shape: Sequence[int]) -> np.ndarray:
    """One scale an output channel, in the order of the output's last axis."""
    assert tensor.quantization is not None
    scales, axis = tensor.quantization.scale.astype(np.float64), _channel_axis(op, len(shape))
    if scales.size == 1:
        return np.full(shape[axis], scales[0])
    if tensor.quantization.axis != axis or scales.size != shape[axis]:
        raise NotImplementedError(f"{op.name} with scales along axis {tensor.quantization.axis} has no reference")
    return scales


def _channel_axis(op: Op, rank: int) -> int:
    kind = kind_of(op)
    if kind is not None:
        return kind.row_axis
    return rank - 2 if op.options.adjY else rank - 1


_Product: TypeAlias = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def _rows_of_kind(op: Op, x: np.ndarray, weight: np.ndarray, tensor: Tensor, way: _Way) -> _Product:
    """Sums of a layer's codes, what doubtful ones may change, magnitudes that are rounded, and what a step is worth."""
    kind = kind_of(op)
    assert kind is not None, op.name
    rows = kind.rows(weight)
    width = rows.shape[1] if op.code == BuiltinOperator.FULLY_CONNECTED else x.shape[-1]
    by_row = way.by_position or op.code == BuiltinOperator.FULLY_CONNECTED
    rounded = way.rounded(x.reshape(-1, width) if by_row else x.reshape(len(x), -1))
    sums, shape = kind.sums(op, rounded.codes.reshape(x.shape), rows, weight.shape)
    doubt, _ = kind.sums(op, rounded.doubt.reshape(x.shape), np.abs(rows), weight.shape)
    parts = np.abs(sums)
    if way.nibbles:
        shift = np.abs(rounded.codes.sum(axis=1, keepdims=True)) + rounded.doubt.sum(axis=1, keepdims=True)
        parts = parts + 2 * _NIBBLE_ZERO * shift
    if way.floats:
        largest = (np.abs(rounded.codes) + rounded.doubt).reshape(x.shape)
        magnitudes, _ = kind.sums(op, largest, np.abs(rows), weight.shape)
        parts = parts + rows.shape[1] * magnitudes
    scale = np.repeat(rounded.scale, len(sums) // len(rounded.scale), axis=0)
    scale = scale * _channel_scales(op, tensor, weight.shape)
    sums, doubt, parts, scale = (array.reshape(shape) for array in (sums, doubt, parts, scale))
    return sums, doubt, parts, scale


def _matmul(op: Op, x: np.ndarray, weight: np.ndarray, tensor: Tensor, way: _Way) -> _Product:
    left = np.swapaxes(x, -1, -2) if op.options.adjX else x
    right = np.swapaxes(weight, -1, -2) if op.options.adjY else weight
    rounded = way.rounded(left.reshape(-1, left.shape[-1]))
    sums = rounded.codes.reshape(left.shape) @ right
    doubt = rounded.doubt.reshape(left.shape) @ np.abs(right)
    scale = rounded.scale.reshape(*left.shape[:-1], 1) * _channel_scales(op, tensor, weight.shape)
    return sums, doubt, np.abs(sums), np.broadcast_to(scale, sums.shape)


# ---------------------------------------------------------------- others


def _lookup(op: Op, values: _Values) -> Computed:
    """A code times its row's scale, rounded once."""
    ids, codes, tensor = given(op, values[0]), given(op, values[1]), op.input(1)
    if tensor.quantization is None:
        return _exact(codes[ids])
    scales = np.broadcast_to(tensor.quantization.scale.astype(np.float64), len(codes))
    rows = codes[ids].astype(np.float64) * scales[ids].reshape(-1, *[1] * (codes.ndim - 1))
    return Computed(rows, _ROUNDING * np.abs(rows) + _LEAST)


def _add(op: Op, values: _Values) -> Computed:
    total = given(op, values[0]).astype(np.float64) + given(op, values[1])
    return _activated(op, total, _ROUNDING * np.abs(total))


def _concatenation(op: Op, values: _Values) -> Computed:
    joined = np.concatenate([given(op, value) for value in values], op.options.axis)
    return _activated(op, joined.astype(np.float64), np.zeros(joined.shape))


_HANDLERS: dict[int, Callable[[Op, _Values], Computed]] = {
    BuiltinOperator.EMBEDDING_LOOKUP: _lookup,
    BuiltinOperator.ADD: _add,
    BuiltinOperator.CONCATENATION: _concatenation,
}
