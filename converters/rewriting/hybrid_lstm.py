"""The matrices of an LSTM operator in int8 beside float activations, as TensorFlow's converter stores them.

Its kernels take one scale a matrix and 8 bits only: rows with scales of their own load without a word and give numbers
that mean nothing (LiteRT 1.1 to 2.3), INT4 ones do not run. States, biases and activations stay in float; the runtime
rounds what is multiplied row by row. Codes are the nearest ones here; :mod:`tfmpq.recurrent` chooses others.
"""

from __future__ import annotations

from converters.layers.lstm_gates import MATRICES, has_projection, is_lstm
from converters.rewriting.small_constants import int8_once, is_large
from converters.tflite.graph import Op, Tensor

_VERSION = 3  # rows rounded between minimum and maximum


def quantize_lstm(op: Op, made: dict[int, Tensor]) -> bool:
    """Rounds the matrices of an operator in place, all or none: kernels want one type.

    Args:
        op: any operator.
        made: by data, matrices that are rounded already; gets the others.

    Returns:
        Whether it is an LSTM with matrices to round: where one of them has fewer than 1,024 numbers, TensorFlow's
        converter leaves all in float.
    """
    if not is_lstm(op) or has_projection(op):
        return False
    matrices = {slot: tensor for slot in MATRICES if (tensor := op.optional_input(slot)) is not None}
    if not matrices or not all(is_large(tensor) for tensor in matrices.values()):
        return False
    for slot, tensor in matrices.items():
        op.inputs[slot] = int8_once(tensor, made)
    op.version = max(op.version, _VERSION)
    op.options.asymmetricQuantizeInputs = True
    return True
