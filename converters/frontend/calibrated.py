"""Ranges that TensorFlow's calibrator found, checked before its quantizer meets them: infinite ones end the process."""

from __future__ import annotations

from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from converters.errors import ModelError
from converters.layers.op_layers import op_layers
from converters.tflite.graph import Model, Op, TensorType

_LARGEST = float(np.finfo(np.float32).max)  # where the calibrator starts looking for a minimum: it saw no number


def check_ranges(calibrated: bytes, model: Model, source: str) -> None:
    """Refuses activations that overflow float32 on the representative data.

    Args:
        calibrated: the float file with the ranges in it, from TensorFlow's calibrator.
        model: the float model.
        source: for messages.

    Raises:
        ModelError: With the first operator, in graph order, whose values no int8 scale can hold.
    """
    ranges = _ranges(calibrated)
    for op in model.graph.ops:
        for tensor in op.outputs:
            low, high = ranges.get(tensor.name, (0.0, 0.0))
            if tensor.type == TensorType.FLOAT32 and not _usable(low, high):
                raise ModelError(_message(model, op, tensor.name, low, high, source))


def _ranges(calibrated: bytes) -> dict[str, tuple[float, float]]:
    """Tensor name -> (min, max), main graph."""
    graph: Any = schema.Model.GetRootAs(calibrated, 0).Subgraphs(0)
    result = {}
    for i in range(graph.TensorsLength()):
        tensor = graph.Tensors(i)
        known = tensor.Quantization()
        if known is not None and known.MinLength() and known.MaxLength():
            result[(tensor.Name() or b"").decode(errors="replace")] = (known.Min(0), known.Max(0))
    return result


def _usable(low: float, high: float) -> bool:
    # A mask may be as low as -float32's largest; the quantizer takes the difference in float32.
    return bool(np.isfinite(low) and np.isfinite(high)) and low < _LARGEST and high - low <= _LARGEST


def _message(model: Model, op: Op, tensor: str, low: float, high: float, source: str) -> str:
    layer = op_layers(model).names[op]
    return (
        f"{source}: activations overflow float32 on the representative data at layer {layer!r}, {op.name} writing "
        f"{tensor!r} (from {low:.3g} to {high:.3g}); no int8 scale holds that. Give data of the range that the model "
        "was trained on: what comes out of the preprocessing is often 100 times larger than meant. If they are right, "
        "the model itself overflows there: bound the values in front of it, and mask with a finite value such as -40."
    )
