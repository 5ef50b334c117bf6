"""Operators that lowerings add to a graph."""

from __future__ import annotations

import numpy as np

from converters.layers.kinds import DENSE
from converters.tflite.graph import BuiltinOperator, Op, Quantization, Tensor, TensorType
from converters.tflite.new_ops import integers, make_op

# Versions every LiteRT since 1.1 loads (2 = int8 for the elementwise ops, 4 = per-channel FULLY_CONNECTED).
_ADD_VERSION = _CONCAT_VERSION = 2
_DENSE_VERSION = 4
_GATHER_VERSION = 1


def dense(inputs: list[Tensor | None], result: Tensor, activation: int, *, keep_dims: bool) -> Op:
    """FULLY_CONNECTED of (activations, weight, bias)."""
    source = inputs[0]
    dynamic = source is not None and source.type == TensorType.FLOAT32  # rows rounded between minimum and maximum
    options = {"fusedActivationFunction": activation, "keepNumDims": keep_dims, "asymmetricQuantizeInputs": dynamic}
    version = DENSE.dynamic_version if dynamic else _DENSE_VERSION
    return make_op(BuiltinOperator.FULLY_CONNECTED, inputs, [result], version, "FullyConnectedOptions", **options)


def add(first: Tensor, second: Tensor, result: Tensor, activation: int) -> Op:
    """ADD with a fused activation."""
    code = BuiltinOperator.ADD
    return make_op(code, [first, second], [result], _ADD_VERSION, "AddOptions", fusedActivationFunction=activation)


def concatenation(pieces: list[Tensor], result: Tensor) -> Op:
    """CONCATENATION along the channels."""
    axis = len(result.shape) - 1
    code = BuiltinOperator.CONCATENATION
    return make_op(code, list(pieces), [result], _CONCAT_VERSION, "ConcatenationOptions", axis=axis)


def gather(name: str, source: Tensor, rows: np.ndarray, target: Tensor) -> Op:
    """GATHER of channels; ``name`` is that of the indices."""
    inputs, axis = [source, integers(name, rows)], len(target.shape) - 1
    return make_op(BuiltinOperator.GATHER, inputs, [target], _GATHER_VERSION, "GatherOptions", axis=axis)


def with_channels(name: str, like: Tensor, channels: int, quantization: Quantization | None = None) -> Tensor:
    """An activation shaped as ``like`` but for its channels, of its type, by default with its quantization."""
    signature = like.shape_signature
    signature = None if signature is None else (*signature[:-1], channels)
    return Tensor(name, (*like.shape[:-1], channels), like.type, None, quantization or like.quantization, signature)
