"""NumPy reference of operators that only move values: what they write, before it is brought to another scale."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np

from converters.tflite.graph import BuiltinOperator, Op

Values: TypeAlias = Sequence["np.ndarray | None"]


def given(op: Op, value: np.ndarray | None) -> np.ndarray:
    """The value of an input that must be there.

    Raises:
        NotImplementedError: It is not.
    """
    if value is None:
        raise NotImplementedError(f"{op.name} with an input that is not given has no reference")
    return value


def _slice(op: Op, values: Values) -> list[np.ndarray]:
    x, begin, size = (given(op, v) for v in values)
    where = tuple(slice(b, None if n < 0 else b + n) for b, n in zip(begin.tolist(), size.tolist(), strict=True))
    return [x[where]]


def _gather(op: Op, values: Values) -> list[np.ndarray]:
    x, indices = (given(op, v) for v in values)
    if op.options.batchDims:
        raise NotImplementedError("GATHER with batch dimensions has no reference")
    return [np.take(x, indices, op.options.axis)]


def _strided_slice(op: Op, values: Values) -> list[np.ndarray]:
    x, begin, end, strides = (given(op, v) for v in values)
    options = op.options
    if options.ellipsisMask or options.newAxisMask or options.offset:
        raise NotImplementedError("STRIDED_SLICE with an ellipsis, new axes or offsets has no reference")
    where: list[slice | int] = []
    for axis, (first, last, stride) in enumerate(zip(begin.tolist(), end.tolist(), strides.tolist(), strict=True)):
        bit = 1 << axis
        if options.shrinkAxisMask & bit:
            where.append(first)
        else:
            where.append(
                slice(None if options.beginMask & bit else first, None if options.endMask & bit else last, stride)
            )
    return [x[tuple(where)]]


def _split(op: Op, values: Values) -> list[np.ndarray]:
    axis, x = (given(op, v) for v in values)
    return np.split(x, op.options.numSplits, int(axis.reshape(-1)[0]))


# operator -> the input whose values it moves, and how
MOVES: dict[int, tuple[int, Callable[[Op, Values], list[np.ndarray]]]] = {
    BuiltinOperator.GATHER: (0, _gather),
    BuiltinOperator.SLICE: (0, _slice),
    BuiltinOperator.STRIDED_SLICE: (0, _strided_slice),
    BuiltinOperator.SPLIT: (1, _split),
}
