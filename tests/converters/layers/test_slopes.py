"""Slopes of elementwise operators against differences of what the runtime computes."""

from __future__ import annotations

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from converters.layers.slopes import has_slope, slope
from converters.runtime.interpreter import make_interpreter, run
from converters.tflite.graph import BuiltinOperator, Op, Tensor, TensorType
from tests.support.op_models import file_of

VALUES = np.linspace(-7, 7, 57, dtype=np.float32) + np.float32(0.11)  # no value within 0.01 of a kink
STEP = 2e-3


def op_of(name: str) -> Op:
    x, y = (Tensor(n, (1, VALUES.size), TensorType.FLOAT32) for n in "xy")
    inputs: list[Tensor | None] = [x]
    kind, options = 0, None
    if name == "LEAKY_RELU":
        kind, options = schema.BuiltinOptions.LeakyReluOptions, schema.LeakyReluOptionsT()
        options.alpha = 0.3
    if name == "PRELU":
        alpha = np.full(VALUES.size, 0.2, np.float32)
        inputs.append(Tensor("alpha", (VALUES.size,), TensorType.FLOAT32, alpha.tobytes()))
    return Op(getattr(BuiltinOperator, name), inputs, [y], 1, kind, options)


def computed(op: Op, values: np.ndarray) -> np.ndarray:
    interpreter = make_interpreter(file_of([op], [op.input(0)], op.outputs))
    return run(interpreter, {"x": values[None]})[0][0].astype(np.float64)


@pytest.mark.parametrize(
    "name",
    ["RELU", "RELU6", "RELU_N1_TO_1", "LEAKY_RELU", "PRELU", "ELU", "HARD_SWISH", "LOGISTIC", "TANH", "ABS", "NEG"],
)
def test_slopes(name: str):
    op = op_of(name)
    assert has_slope(op)
    found = (computed(op, VALUES + STEP) - computed(op, VALUES - STEP)) / (2 * STEP)
    # float32 values of up to 7 over differences of 4e-3, and the runtime's polynomials for exp and tanh.
    np.testing.assert_allclose(np.abs(slope(op, VALUES)), np.abs(found), atol=3e-3)


def test_others_have_none():
    assert not has_slope(op_of("SOFTMAX"))
    assert not has_slope(op_of("SQUARE"))
