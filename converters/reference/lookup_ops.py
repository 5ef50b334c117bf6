"""NumPy reference of what tables are written as: lookups of rows, what turns ids into rows, and sums of rows.

A looked-up row is each code times its scale in float32, one rounding, which every kernel does alike; so is an ADD.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from converters.errors import ValidationError
from converters.tflite.graph import NUMPY_TYPES, BuiltinOperator, Op

_Values = Sequence[np.ndarray | None]


def run_lookup_op(op: Op, inputs: _Values) -> list[np.ndarray]:
    """Computes one operator.

    Args:
        op: EMBEDDING_LOOKUP, GATHER along the first axis, CAST, MINIMUM, RESHAPE or ADD without an activation.
        inputs: an array for every input, in the operator's order; None stands for constants, which are taken from the
            operator.

    Returns:
        One array an output.

    Raises:
        NotImplementedError: There is no reference for this operator or for an option it uses.
        ValidationError: An id leaves its table, which kernels refuse.
    """
    handler = _HANDLERS.get(op.code)
    if handler is None:
        raise NotImplementedError(f"{op.name} has no reference among lookups")
    values = [
        op.input(i).array() if value is None and op.input(i).data is not None else value
        for i, value in enumerate(inputs)
    ]
    known = [value for value in values if value is not None]
    if len(known) < len(values):
        raise NotImplementedError(f"{op.name} needs all its inputs")
    return [handler(op, known)]


def _lookup(op: Op, values: Sequence[np.ndarray]) -> np.ndarray:
    ids, table = values
    _check(ids, len(table), op)
    scaling = op.input(1).quantization
    rows = table[ids].astype(np.float32)
    if scaling is None:
        return rows
    scale = np.broadcast_to(scaling.scale, len(table))[ids]
    return rows * scale.reshape(-1, *[1] * (rows.ndim - 1))


def _gather(op: Op, values: Sequence[np.ndarray]) -> np.ndarray:
    if getattr(op.options, "axis", 0) or getattr(op.options, "batchDims", 0):
        raise NotImplementedError("GATHER has a reference along the first axis only")
    table, ids = values
    _check(ids, len(table), op)
    return table[ids]


def _check(ids: np.ndarray, rows: int, op: Op) -> None:
    if ids.size and not 0 <= ids.min() <= ids.max() < rows:
        raise ValidationError(f"{op.name} writing {op.outputs[0].name!r} reads rows {ids.min()}..{ids.max()} of {rows}")


def _cast(op: Op, values: Sequence[np.ndarray]) -> np.ndarray:
    return values[0].astype(NUMPY_TYPES[op.outputs[0].type])


def _minimum(op: Op, values: Sequence[np.ndarray]) -> np.ndarray:
    return np.minimum(values[0], values[1])


def _reshape(op: Op, values: Sequence[np.ndarray]) -> np.ndarray:
    return values[0].reshape(values[1] if len(values) > 1 else op.options.newShape)


def _add(op: Op, values: Sequence[np.ndarray]) -> np.ndarray:
    if getattr(op.options, "fusedActivationFunction", 0) or values[0].dtype != np.float32:
        raise NotImplementedError("ADD has a reference here for plain sums of float32 only")
    return values[0] + values[1]


_HANDLERS: dict[int, Callable[[Op, Sequence[np.ndarray]], np.ndarray]] = {
    BuiltinOperator.EMBEDDING_LOOKUP: _lookup,
    BuiltinOperator.GATHER: _gather,
    BuiltinOperator.CAST: _cast,
    BuiltinOperator.MINIMUM: _minimum,
    BuiltinOperator.RESHAPE: _reshape,
    BuiltinOperator.ADD: _add,
}
