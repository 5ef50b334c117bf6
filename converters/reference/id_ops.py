"""NumPy reference of what turns ids into the rows of a further table: plain integers, the same in every kernel."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np

from converters.errors import ValidationError
from converters.tflite.graph import NUMPY_TYPES, BuiltinOperator, Op

_Values: TypeAlias = Sequence["np.ndarray | None"]


def run_id_op(op: Op, inputs: _Values) -> list[np.ndarray]:
    """Computes one operator.

    Args:
        op: GATHER along the first axis, CAST or MINIMUM of integers without a scale.
        inputs: an array for every input, in the operator's order; None stands for constants, which are taken from the
            operator.

    Returns:
        One array an output.

    Raises:
        NotImplementedError: There is no reference for this operator or for an option it uses.
        ValidationError: An id leaves its table, which kernels refuse.
    """
    handler = _HANDLERS.get(op.code)
    if handler is None or any(tensor.quantization is not None for tensor in op.outputs):
        raise NotImplementedError(f"{op.name} has no reference of ids")
    values = [op.input(i).array() if value is None else value for i, value in enumerate(inputs)]
    return [handler(op, values)]


def _gather(op: Op, values: Sequence[np.ndarray]) -> np.ndarray:
    if getattr(op.options, "axis", 0) or getattr(op.options, "batchDims", 0):
        raise NotImplementedError("GATHER has a reference of ids along the first axis only")
    table, ids = values
    if ids.size and not 0 <= ids.min() <= ids.max() < len(table):
        raise ValidationError(
            f"{op.name} writing {op.outputs[0].name!r} reads rows {ids.min()}..{ids.max()} of {len(table)}"
        )
    return table[ids]


def _cast(op: Op, values: Sequence[np.ndarray]) -> np.ndarray:
    return values[0].astype(NUMPY_TYPES[op.outputs[0].type])


def _minimum(op: Op, values: Sequence[np.ndarray]) -> np.ndarray:
    return np.minimum(values[0], values[1])


_HANDLERS: dict[int, Callable[[Op, Sequence[np.ndarray]], np.ndarray]] = {
    BuiltinOperator.GATHER: _gather,
    BuiltinOperator.CAST: _cast,
    BuiltinOperator.MINIMUM: _minimum,
}
