"""NumPy reference of TensorFlow Lite's int8 arithmetic: what an operator of a file must compute, within one step.

Every kernel (XNNPACK, built-in, reference) forms the same int32 sum and differs only in how it multiplies that sum by
s_x * s_w / s_y: XNNPACK in float32 (relative error below 2^-21, so below 2^-12 steps where the output does not
saturate), the built-in kernels with a 31-bit fixed-point factor. ADD works with factors of 20 bits, an error below
2^-4 steps. Each kernel thus rounds, once or twice, a value that is close to the exact one, and two roundings of nearly
the same value end on the same integer or on neighbours: at most one step from this reference.

Sums are formed in float64, which holds every integer below 2^53 and lets BLAS do the work: they are exact, in any
order. Short ones, as of depthwise convolutions, stay below 2^24, which float32 holds in half the time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np

from converters.errors import ValidationError
from converters.layers.kinds import kind_of
from converters.reference.fused_activations import CLIPS
from converters.reference.moves import MOVES
from converters.tflite.graph import BuiltinOperator, Op, Tensor, TensorType

_INT8_LIMITS = (-128, 127)
_FLOAT32_TERMS = 2**24 // 255**2  # of a sum of products of int8 numbers, their zero points taken off
# schema.ActivationFunctionType -> real bounds of the fused activation
_Values: TypeAlias = Sequence["np.ndarray | None"]


def run_op(op: Op, inputs: _Values) -> list[np.ndarray]:
    """Computes one operator.

    A bias counts with the scale the file gives it. Kernels ignore that scale and take s_x * s_w, so a bias written in
    other units shows as a difference from them.

    Args:
        op: CONV_2D, DEPTHWISE_CONV_2D, FULLY_CONNECTED, TRANSPOSE_CONV, ADD, CONCATENATION, GATHER, SLICE,
            STRIDED_SLICE or SPLIT with int8 activations and int8 or int4 weights.
        inputs: an array for every input, in the operator's order. None stands for an omitted input and for constants,
            which are taken from the operator.

    Returns:
        One int8 array an output.

    Raises:
        NotImplementedError: There is no reference for this operator or for an option it uses.
        ValidationError: A sum leaves int32, where kernels overflow.
    """
    values = [
        value if value is not None or tensor is None or tensor.data is None else tensor.array()
        for value, tensor in zip(inputs, op.inputs, strict=True)
    ]
    handler = _HANDLERS.get(op.code) if kind_of(op) is None else _layer
    if handler is None:
        raise NotImplementedError(f"{op.name} has no integer reference")
    for tensor in (*(t for t in op.inputs if t is not None and t.data is None), *op.outputs):
        if tensor.type != TensorType.INT32 and (tensor.type != TensorType.INT8 or tensor.quantization is None):
            raise NotImplementedError(f"{op.name} has an integer reference for quantized int8 tensors only")
    return handler(op, values)


# ---------------------------------------------------------------- rescaling


def _store(steps: np.ndarray, output: Tensor, activation: int) -> np.ndarray:
    """Real values in units of the output's scale -> its integers."""
    if activation not in CLIPS:
        raise NotImplementedError(f"fused activation {activation} has no integer reference")
    bounds = np.array(CLIPS[activation], np.float32) / np.float32(output.scale)
    low, high = np.clip(np.rint(bounds) + output.zero_point, *_INT8_LIMITS)
    return np.clip(np.rint(steps) + output.zero_point, low, high).astype(np.int8)


def _steps(values: np.ndarray, source: Tensor, output: Tensor) -> np.ndarray:
    """Integers of ``source`` as real values in units of the output's scale."""
    return (values.astype(np.float64) - source.zero_point) * (source.scale / output.scale)


def _copied(values: np.ndarray, source: Tensor, output: Tensor) -> np.ndarray:
    """What an operator that only moves values stores."""
    if (source.scale, source.zero_point) == (output.scale, output.zero_point):
        return values
    return _store(_steps(values, source, output), output, 0)


# ---------------------------------------------------------------- layers


def _layer(op: Op, values: _Values) -> list[np.ndarray]:
    kind = kind_of(op)
    assert kind is not None, op.name
    activation, weight_slot, bias_slot = kind.site
    source, output = op.input(activation), op.outputs[0]
    scaling = op.input(weight_slot).quantization
    x, weight = values[activation], values[weight_slot]
    if x is None or weight is None or scaling is None:
        raise NotImplementedError(f"{op.name} needs an activation and a constant weight with scales")
    rows = kind.rows(weight) - scaling.zero_point.astype(np.float64)[:, None]
    short = rows.shape[1] <= _FLOAT32_TERMS
    numbers = np.float32 if short else np.float64
    centred = x.astype(numbers) - numbers(source.zero_point)
    sums, shape = kind.sums(op, centred, rows.astype(numbers, copy=False), weight.shape)
    sums = sums.astype(np.float64, copy=False)
    product = source.scale * scaling.scale.astype(np.float64)
    bias = values[bias_slot] if bias_slot is not None and len(values) > bias_slot else None
    if bias is not None and bias_slot is not None:
        sums += bias.reshape(-1) * _bias_units(op.input(bias_slot), product)
    largest = np.abs(sums).max(initial=0)
    if largest >= 2.0**31:
        raise ValidationError(f"a sum of {op.name} reaches {largest:.3g}, which overflows the kernels' int32")
    sums *= product / output.scale
    return [_store(sums, output, op.options.fusedActivationFunction).reshape(shape)]


def _bias_units(bias: Tensor, product: np.ndarray) -> np.ndarray:
    """What one unit of the bias adds to a sum: 1 if it is written in units of s_x * s_w."""
    if bias.quantization is None:
        return np.ones(1)
    units = bias.quantization.scale.astype(np.float64) / product
    # The scale is stored in float32, and some converters multiply in float32: what is left of 1 is their rounding.
    return np.where(np.abs(units - 1) < 2.0**-20, 1.0, units)


# ---------------------------------------------------------------- joining and cutting


def _activations(op: Op, values: _Values) -> list[tuple[np.ndarray, Tensor]]:
    pairs = zip(values, op.inputs, strict=True)
    return [(v, t) for v, t in pairs if v is not None and t is not None and t.quantization is not None]


def _add(op: Op, values: _Values) -> list[np.ndarray]:
    output = op.outputs[0]
    first, second = (_steps(v, t, output) for v, t in _activations(op, values))
    return [_store(first + second, output, op.options.fusedActivationFunction)]


def _concatenation(op: Op, values: _Values) -> list[np.ndarray]:
    output = op.outputs[0]
    parts = [_copied(v, t, output) for v, t in _activations(op, values)]
    joined = np.concatenate(parts, op.options.axis)
    activation = op.options.fusedActivationFunction
    return [_store(joined.astype(np.float64) - output.zero_point, output, activation)]


def _moved(op: Op, values: _Values) -> list[np.ndarray]:
    source, move = MOVES[op.code]
    return [_copied(part, op.input(source), output) for part, output in zip(move(op, values), op.outputs, strict=True)]


_HANDLERS: dict[int, Callable[[Op, _Values], list[np.ndarray]]] = {
    BuiltinOperator.ADD: _add,
    BuiltinOperator.CONCATENATION: _concatenation,
    **dict.fromkeys(MOVES, _moved),
}
