"""Products of an activation with a constant of several matrices, one a head say, in int8 beside float activations.

BATCH_MATMUL takes 8 bits only, with one scale or one an output channel, which all matrices share. TensorFlow's
converter gives it one; a scale a channel runs in the same kernels. With two batch axes of more than one the plain
kernels compute something else (LiteRT 1.1 to 2.3): such constants stay in float.
"""

from __future__ import annotations

import numpy as np

from converters.points import INT8_LIMIT
from converters.rewriting.small_constants import as_int8, is_large
from converters.tflite.graph import BuiltinOperator, Op, Quantization, Tensor, TensorType

_VERSION = 2  # of int8 right sides; later ones are refused by the reference kernels
_RIGHT = 1


def quantize_product(op: Op, made: dict[int, Tensor], *, by_channel: bool) -> bool:
    """Rounds the constant right side of a product in place.

    Args:
        op: any operator.
        made: by data, constants that are rounded already; gets the others.
        by_channel: whether every output channel has a scale of its own.

    Returns:
        Whether it is a product with a constant to round.
    """
    if op.code != BuiltinOperator.BATCH_MATMUL or not is_large(op.input(_RIGHT)):
        return False
    if sum(n != 1 for n in op.input(0).shape[:-2]) > 1:
        return False
    constant = op.input(_RIGHT)
    if id(constant.data) not in made:
        made[id(constant.data)] = _by_channel(constant, op) if by_channel else as_int8(constant)
    op.inputs[_RIGHT] = made[id(constant.data)]
    op.version = max(op.version, _VERSION)
    op.options.asymmetricQuantizeInputs = True
    return True


def _by_channel(constant: Tensor, op: Op) -> Tensor:
    values = constant.array()
    axis = values.ndim - (2 if op.options.adjY else 1)
    others = tuple(i for i in range(values.ndim) if i != axis)
    largest = np.abs(values).max(axis=others)
    scale = np.maximum(largest / np.float32(INT8_LIMIT), np.finfo(np.float32).tiny).astype(np.float32)
    steps = scale.reshape([-1 if i == axis else 1 for i in range(values.ndim)])
    codes = np.clip(np.rint(values / steps), -INT8_LIMIT, INT8_LIMIT).astype(np.int8)
    scaling = Quantization(scale, np.zeros(len(scale), np.int64), axis)
    return Tensor(constant.name, constant.shape, TensorType.INT8, codes.tobytes(), scaling)
