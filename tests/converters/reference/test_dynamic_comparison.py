from __future__ import annotations

import numpy as np

from converters.reference.dynamic_comparison import compare_dynamic
from converters.tflite.graph import Op, Tensor
from tests.support.dynamic_models import dense_op
from tests.support.op_models import file_of, run_kernels


def _run() -> tuple[Op, dict[Tensor, np.ndarray]]:
    op = dense_op(np.random.default_rng(0), (4, 32), 6, bits=8)
    x = np.random.default_rng(1).normal(size=(4, 32)).astype(np.float32)
    (result,) = run_kernels(file_of([op], [op.input(0)], op.outputs), "xnnpack", [x])
    return op, {op.input(0): x, op.outputs[0]: result}


def test_it_says_where_and_by_how_much() -> None:
    op, values = _run()
    (result,) = [tensor for tensor in values if tensor.name == "y"]
    values[result] = values[result].copy()
    values[result][2, 3] += 0.25
    found = compare_dynamic(op, values, "xnnpack")
    assert found.ratio > 1
    assert "'y' at [2, 3] is" in found.where
    assert " instead of " in found.where
    assert found.where.endswith("; 1 of 24 outputs are further off than they may be")
    values[result][:, 1] += 0.125
    assert "'y' at [2, 3] is" in (found := compare_dynamic(op, values, "xnnpack")).where
    assert found.where.endswith("; 5 of 24 outputs are further off than they may be")


def test_of_good_numbers_it_counts_none() -> None:
    op, values = _run()
    assert "outputs" not in compare_dynamic(op, values, "xnnpack").where


def test_numbers_that_are_none_are_wrong() -> None:
    op, values = _run()
    (result,) = [tensor for tensor in values if tensor.name == "y"]
    values[result] = np.full_like(values[result], np.nan)
    assert compare_dynamic(op, values, "xnnpack").ratio == np.inf


def test_another_shape_is_wrong() -> None:
    op, values = _run()
    (result,) = [tensor for tensor in values if tensor.name == "y"]
    values[result] = values[result].reshape(2, 2, 6)
    found = compare_dynamic(op, values, "xnnpack")
    assert found.ratio == np.inf
    assert "has shape (2, 2, 6), not (4, 6)" in found.where
