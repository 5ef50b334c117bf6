"""Operators that do nothing in int8 are left out, and no others."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from converters.rewriting.idle_ops import without_idle_ops
from converters.tflite.graph import BuiltinOperator, Graph, Model, Op, Tensor, TensorType
from converters.tflite.writer import save
from tests.support.op_models import KERNELS, activation, add_op, run_kernels

SHAPE = (1, 4)


def _bound(code: int, source: Tensor, limit: int, output: Tensor) -> Op:
    data = np.array(limit, np.int8).tobytes()
    constant = Tensor("limit", (), TensorType.INT8, data, source.quantization)
    kind = schema.BuiltinOptions.MaximumMinimumOptions
    return Op(code, [source, constant], [output], 2, kind, schema.MaximumMinimumOptionsT())


def _sum_of_clipped(low: int, high: int) -> Model:
    x, y = activation("x", SHAPE, 0.5, 3), activation("y", SHAPE, 1.0, 0)
    below, clipped = activation("below", SHAPE, 0.5, 3), activation("clipped", SHAPE, 0.5, 3)
    ops = [
        _bound(BuiltinOperator.MINIMUM, x, high, below),
        _bound(BuiltinOperator.MAXIMUM, below, low, clipped),
        add_op(clipped, x, y),
    ]
    return Model([Graph([x], [y], ops)], [], {})


@pytest.mark.parametrize("kernels", KERNELS)
def test_bounds_where_integers_end_are_left_out_and_the_integers_stay(kernels: Any):
    model = _sum_of_clipped(-128, 127)
    tidy = without_idle_ops(model)
    assert [op.name for op in tidy.graph.ops] == ["ADD"]
    assert len(model.graph.ops) == 3  # it is not changed
    values = np.array([[-128, 127, 0, 50]], np.int8)
    (before,), (after,) = (run_kernels(save(m), kernels, [values]) for m in (model, tidy))
    np.testing.assert_array_equal(after, before)


def test_bounds_within_stay():
    assert [op.name for op in without_idle_ops(_sum_of_clipped(-127, 126)).graph.ops] == ["MINIMUM", "MAXIMUM", "ADD"]
    assert [op.name for op in without_idle_ops(_sum_of_clipped(-128, 126)).graph.ops] == ["MINIMUM", "ADD"]


def test_what_the_graph_gives_away_stays():
    x, y = activation("x", SHAPE, 0.5, 3), activation("y", SHAPE, 0.5, 3)
    model = Model([Graph([x], [y], [_bound(BuiltinOperator.MINIMUM, x, 127, y)])], [], {})
    assert [op.name for op in without_idle_ops(model).graph.ops] == ["MINIMUM"]


def test_other_scales_stay():
    x, y, z = activation("x", SHAPE, 0.5, 3), activation("y", SHAPE, 0.25, 3), activation("z", SHAPE, 1.0, 0)
    ops = [_bound(BuiltinOperator.MINIMUM, x, 127, y), add_op(y, x, z)]
    assert len(without_idle_ops(Model([Graph([x], [z], ops)], [], {})).graph.ops) == 2


def _converted(alpha: float) -> Model:
    """A float input as integers of steps of .5, and these again in steps of .01."""
    x, coarse, fine = (
        Tensor("x", SHAPE, TensorType.FLOAT32),
        activation("c", SHAPE, 0.5, 0),
        activation("f", SHAPE, 0.01, 0),
    )
    options = schema.LeakyReluOptionsT()
    options.alpha = alpha  # pyright: ignore[reportAttributeAccessIssue]
    quantize = schema.BuiltinOptions.QuantizeOptions
    ops = [
        Op(BuiltinOperator.QUANTIZE, [x], [coarse], 1, quantize, schema.QuantizeOptionsT()),
        Op(BuiltinOperator.LEAKY_RELU, [coarse], [fine], 2, schema.BuiltinOptions.LeakyReluOptions, options),
    ]
    return Model([Graph([x], [fine, coarse], ops)], [], {})


@pytest.mark.parametrize("kernels", KERNELS)
def test_a_float_input_is_converted_to_each_scale_by_itself(kernels: Any):
    tidy = without_idle_ops(_converted(1.0))
    assert [op.name for op in tidy.graph.ops] == ["QUANTIZE", "QUANTIZE"]
    values = np.array([[0.123, -0.2, 1.0, 5.0]], np.float32)
    fine, coarse = run_kernels(save(tidy), kernels, [values])
    assert fine.tolist() == [[12, -20, 100, 127]]
    assert coarse.tolist() == [[0, 0, 2, 10]]
    assert [op.name for op in without_idle_ops(_converted(0.5)).graph.ops] == ["QUANTIZE", "LEAKY_RELU"]
