"""Operators are run one by one in a process that may end."""

from __future__ import annotations

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from converters.runtime.culprit import find_culprit, walk
from converters.tflite.graph import BuiltinOperator, Op
from tests.support.op_models import activation, add_op, file_of, softmax_file

FEED = {"x": np.zeros((1, 10), np.float32)}


def file_with_a_softmax(scale: float) -> bytes:
    """ADD, SOFTMAX of ``scale``, ADD."""
    x, sums, y, z = (activation(n, (1, 10), s, 0) for n, s in zip("xsyz", (scale, scale, 1 / 256, 0.1), strict=True))
    assert y.quantization is not None
    y.quantization.zero_point[:] = -128
    options = schema.SoftmaxOptionsT()
    options.beta = 1.0
    softmax = Op(BuiltinOperator.SOFTMAX, [sums], [y], 2, schema.BuiltinOptions.SoftmaxOptions, options)
    return file_of([add_op(x, x, sums), softmax, add_op(y, y, z)], [x], [z])


def test_the_operator_that_ends_the_process_is_found():
    assert find_culprit(softmax_file(1e-9), FEED, "reference") == 0
    assert find_culprit(file_with_a_softmax(1e-9), FEED, "reference") == 1


def test_a_file_whose_operators_all_run_has_no_culprit():
    assert find_culprit(file_with_a_softmax(0.2), FEED, "reference") is None


def test_operators_are_walked_with_the_values_they_get(capsys: pytest.CaptureFixture[str]):
    walk(file_with_a_softmax(0.2), FEED, "builtin")
    assert capsys.readouterr().out.split() == ["0", "1", "2", "end"]
