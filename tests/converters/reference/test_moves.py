from __future__ import annotations

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from converters.reference.moves import MOVES, given
from converters.tflite.graph import BuiltinOperator, Op
from tests.support.dynamic_models import floats


def _gather(axis: int, batch_dims: int = 0) -> Op:
    options = schema.GatherOptionsT()
    options.axis, options.batchDims = axis, batch_dims
    kind = schema.BuiltinOptions.GatherOptions
    return Op(BuiltinOperator.GATHER, [floats("x", (2, 3)), None], [floats("y", (2, 2))], 1, kind, options)


def test_gather_takes_along_its_axis() -> None:
    source, move = MOVES[BuiltinOperator.GATHER]
    x = np.arange(6.0).reshape(2, 3)
    assert source == 0
    np.testing.assert_array_equal(move(_gather(1), [x, np.array([2, 0])])[0], [[2, 0], [5, 3]])


def test_slices_to_the_end() -> None:
    op = Op(BuiltinOperator.SLICE, [], [])
    (part,) = MOVES[BuiltinOperator.SLICE][1](op, [np.arange(12).reshape(3, 4), np.array([1, 2]), np.array([-1, 2])])
    np.testing.assert_array_equal(part, [[6, 7], [10, 11]])


def test_what_it_has_no_reference_for() -> None:
    with pytest.raises(NotImplementedError, match="batch dimensions"):
        MOVES[BuiltinOperator.GATHER][1](_gather(1, batch_dims=1), [np.zeros((2, 3)), np.array([0])])
    with pytest.raises(NotImplementedError, match="GATHER with an input that is not given"):
        given(_gather(0), None)
