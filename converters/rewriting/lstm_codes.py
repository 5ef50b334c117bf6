"""Integer files with other codes and biases in their LSTM operators; scales stay, and with them all that kernels do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from converters.tflite.file import File
from converters.tflite.graph import Op, Tensor
from converters.tflite.writer import save


def with_constants(file: File, constants: Mapping[Op, Mapping[int, np.ndarray]]) -> File:
    """A file with other values in constants of its operators, of the same types and shapes.

    Args:
        file: it stays as it is.
        constants: of operators of its graphs: place among the inputs -> values. What was one tensor and gets the same
            values stays one.
    """
    clone = file.model.clone()
    made: dict[tuple[Tensor, bytes], Tensor] = {}
    for op, values in constants.items():
        for slot, array in values.items():
            before = op.input(slot).array()
            if (before.dtype, before.shape) != (array.dtype, array.shape):
                raise ValueError(f"{op.name}: input {slot} is {before.dtype}{before.shape}, not {array.dtype}")
            tensor, data = op.input(slot), array.tobytes()
            clone.ops[op].inputs[slot] = made.setdefault((tensor, data), replace(clone.tensors[tensor], data=data))
    return File.parse(save(clone.model))
