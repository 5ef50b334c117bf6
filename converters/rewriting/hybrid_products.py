"""Products of an activation with a constant of several matrices, one a head say, in int8 beside float activations.

BATCH_MATMUL takes 8 bits only, with one scale or one an output channel, which all matrices share. TensorFlow's
converter gives it one; a scale a channel runs in the same kernels. With two batch axes of more than one the plain
kernels compute something else (LiteRT 1.1 to 2.3): such constants stay in float.
"""

from __future__ import annotations

from converters.rewriting.small_constants import int8_once, is_large
from converters.tflite.graph import BuiltinOperator, Op, Tensor

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
    channels = len(constant.shape) - (2 if op.options.adjY else 1)
    op.inputs[_RIGHT] = int8_once(constant, made, channels if by_channel else None)
    op.version = max(op.version, _VERSION)
    op.options.asymmetricQuantizeInputs = True
    return True
