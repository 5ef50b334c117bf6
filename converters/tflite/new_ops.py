"""Operators and constants that are put into a graph."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from converters.tflite.graph import Op, Tensor, TensorType, schema


def make_op(
    code: int,
    inputs: Sequence[Tensor | None],
    outputs: Sequence[Tensor],
    version: int,
    options_name: str,
    **values: float | Sequence[int],
) -> Op:
    """An operator with options of the schema's table ``options_name``."""
    options = getattr(schema, f"{options_name}T")()
    for key, value in values.items():
        assert hasattr(options, key), key
        setattr(options, key, value)
    return Op(code, list(inputs), list(outputs), version, getattr(schema.BuiltinOptions, options_name), options)


def integers(name: str, values: ArrayLike) -> Tensor:
    """An int32 constant."""
    array = np.asarray(values, np.int32)
    return Tensor(name, array.shape, TensorType.INT32, array.tobytes())
