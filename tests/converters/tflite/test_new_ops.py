from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import ArrayLike

from converters.runtime.interpreter import make_interpreter, run
from converters.tflite.graph import BuiltinOperator, Graph, Model, Tensor, TensorType, schema
from converters.tflite.new_ops import integers, make_op
from converters.tflite.reader import load
from converters.tflite.writer import save


def _activation(name: str, *shape: int) -> Tensor:
    return Tensor(name, shape, TensorType.FLOAT32)


def test_operators_and_constants_are_written_and_run() -> None:
    x, picked, total = _activation("x", 2, 3), _activation("picked", 2, 2), _activation("total", 2, 2)
    ops = [
        make_op(BuiltinOperator.GATHER, [x, integers("channels", [2, 0])], [picked], 1, "GatherOptions", axis=1),
        make_op(BuiltinOperator.ADD, [picked, picked], [total], 1, "AddOptions", fusedActivationFunction=1),  # RELU
    ]
    content = save(Model([Graph([x], [total], ops)], [], {}))
    gather, add = load(content).graph.ops
    assert (gather.name, gather.options.axis) == ("GATHER", 1)
    assert (add.name, add.options.fusedActivationFunction) == ("ADD", schema.ActivationFunctionType.RELU)
    values = np.array([[1, 2, -3], [4, 5, 6]], np.float32)
    (found,) = run(make_interpreter(content), {"x": values})
    np.testing.assert_array_equal(found, [[0, 2], [12, 8]])


def test_options_may_be_numbers_with_fractions_and_lists() -> None:
    x, y = _activation("x", 4), _activation("y", 4)
    leaky = make_op(BuiltinOperator.LEAKY_RELU, [x], [y], 1, "LeakyReluOptions", alpha=0.5)
    assert leaky.options.alpha == 0.5
    turned = make_op(BuiltinOperator.RESHAPE, [x, integers("shape", [2, 2])], [y], 1, "ReshapeOptions", newShape=[2, 2])
    assert turned.options.newShape == [2, 2]
    assert turned.options_type == schema.BuiltinOptions.ReshapeOptions


def test_an_operator_has_lists_of_its_own() -> None:
    inputs, outputs = [_activation("x", 4)], [_activation("y", 4)]
    op = make_op(BuiltinOperator.ADD, inputs, outputs, 2, "AddOptions")
    assert op.version == 2
    inputs.append(outputs.pop())
    assert (len(op.inputs), len(op.outputs)) == (1, 1)


def test_options_that_the_table_does_not_have_are_refused() -> None:
    with pytest.raises(AssertionError, match="axis"):
        make_op(BuiltinOperator.ADD, [], [], 1, "AddOptions", axis=1)


@pytest.mark.parametrize(
    ("values", "expected"),
    [(3, np.array(3)), ([], np.zeros(0)), ([4, -1], np.array([4, -1])), (np.eye(2, dtype=np.int64), np.eye(2))],
    ids=["number", "none", "list", "wide"],
)
def test_integers_are_int32_in_any_shape(values: ArrayLike, expected: np.ndarray) -> None:
    constant = integers("name", values)
    assert (constant.name, constant.type, constant.shape) == ("name", TensorType.INT32, expected.shape)
    np.testing.assert_array_equal(constant.array(), expected)
