"""Ranges that TensorFlow's calibrator found: replaced where others are wanted, and checked before its quantizer runs.

Infinite ones end the process.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from converters.errors import ModelError, OptionError
from converters.layers.op_layers import op_layers
from converters.tflite.graph import Model, Op, TensorType

Range: TypeAlias = tuple[float, float]

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
    ranges = read_ranges(calibrated)
    for op in model.graph.ops:
        for tensor in op.outputs:
            low, high = ranges.get(tensor.name, (0.0, 0.0))
            if tensor.type == TensorType.FLOAT32 and not _usable(low, high):
                raise ModelError(_message(model, op, tensor.name, low, high, source))


def read_ranges(calibrated: bytes) -> dict[str, Range]:
    """Tensor name -> (min, max), of the main graph's activations.

    Args:
        calibrated: the float file with the ranges in it.
    """
    return {name: (known.Min(0), known.Max(0)) for name, known in _ranged(calibrated)}


def with_ranges(calibrated: bytes, ranges: Mapping[str, Range], source: str) -> bytes:
    """The calibrated file with other ranges for some of its activations.

    Args:
        calibrated: the float file with the ranges in it.
        ranges: tensor name -> (min, max), finite; equal where all values are the same. All tensors of that name get it.
        source: for messages.

    Raises:
        OptionError: A name is that of no float activation of the main graph, or a range is none.
    """
    if not ranges:
        return calibrated
    for name, (low, high) in ranges.items():
        if not (low <= high and _usable(low, high)):
            raise OptionError(
                f"{source}: ({low:g}, {high:g}) is no range for int8 values of '{name}': give (smallest, largest), two "
                "finite numbers, the smallest first."
            )
    changed = bytearray(calibrated)
    left = set(ranges)
    for name, known in _ranged(changed):
        if name in ranges:
            # The vectors are views of the bytes: nothing moves, whatever the file holds beside them.
            known.MinAsNumpy()[0], known.MaxAsNumpy()[0] = ranges[name]
            left.discard(name)
    if left:
        raise OptionError(
            f"{source} has no float activation '{min(left)}' whose range could be set: constants, integers and tensors "
            "inside of loops have none. Name what an operator of the main graph writes, or an input."
        )
    return bytes(changed)


def _ranged(calibrated: bytes | bytearray) -> Iterator[tuple[str, Any]]:
    """Name and quantization of each tensor of the main graph that has a range."""
    graph: Any = schema.Model.GetRootAs(calibrated, 0).Subgraphs(0)
    for i in range(graph.TensorsLength()):
        tensor = graph.Tensors(i)
        known = tensor.Quantization()
        if known is not None and known.MinLength() and known.MaxLength():
            yield (tensor.Name() or b"").decode(errors="replace"), known


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
