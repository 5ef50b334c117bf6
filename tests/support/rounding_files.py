"""Files whose outputs are their float inputs, rounded: classifiers whose errors a test can choose."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from converters.tflite import graph
from converters.tflite.writer import save


def rounding_file(scale: float, *, classes: int = 8, inputs: Sequence[str] = ("x",)) -> bytes:
    """One int8 output of ``classes`` scores for each input, its multiples of ``scale``."""
    real, integer, ops = [], [], []
    for name in inputs:
        real.append(graph.Tensor(name, (1, classes), graph.TensorType.FLOAT32))
        scaling = graph.Quantization(np.array([scale], np.float32), np.array([0], np.int64))
        integer.append(graph.Tensor(f"{name}_q", (1, classes), graph.TensorType.INT8, quantization=scaling))
        ops.append(graph.Op(graph.BuiltinOperator.QUANTIZE, [real[-1]], [integer[-1]]))
    return save(graph.Model([graph.Graph(real, integer, ops)], [], {}))
