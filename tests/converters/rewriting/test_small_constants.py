from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from converters.rewriting.small_constants import int8_once, shrink_constants, shrink_tables
from converters.runtime.interpreter import make_interpreter, run
from converters.tflite.graph import BuiltinOperator, Graph, Model, Op, Tensor, TensorType
from converters.tflite.new_ops import make_op
from converters.tflite.writer import save
from tests.support.dynamic_models import dense_op

SHAPE = (1, 32, 48)


def _constant(name: str, shape: tuple[int, ...], seed: int = 0) -> Tensor:
    values = np.random.default_rng(seed).normal(size=shape).astype(np.float32)
    return Tensor(name, shape, TensorType.FLOAT32, values.tobytes())


def _add(first: Tensor, second: Tensor, name: str) -> Op:
    result = Tensor(name, SHAPE, TensorType.FLOAT32)
    return make_op(BuiltinOperator.ADD, [first, second], [result], 1, "AddOptions")


def _model(*constants: Tensor) -> Model:
    source = value = Tensor("x", SHAPE, TensorType.FLOAT32)
    ops = []
    for number, constant in enumerate(constants):
        ops.append(_add(value, constant, f"y{number}"))
        value = ops[-1].outputs[0]
    return Model([Graph([source], [value], ops)], [], {})


@pytest.mark.parametrize("kernels", ["xnnpack", "builtin", "reference"])
def test_a_constant_is_rounded_and_stored_once(kernels) -> None:
    positions = _constant("positions", SHAPE)
    model = _model(positions, positions)
    before = len(save(model))
    shrink_constants(model)
    content = save(model)
    assert [op.name for op in model.graph.ops] == ["DEQUANTIZE", "ADD", "ADD"]
    assert len(content) < before - 3 * 32 * 48 + 600  # a byte instead of four each; 600: an operator, its tensors
    x = np.random.default_rng(1).normal(size=SHAPE).astype(np.float32)
    (found,) = run(make_interpreter(content, kernels=kernels), {"x": x})
    step = np.abs(positions.array()).max() / 127
    rounded = np.rint(positions.array() / step) * step
    np.testing.assert_allclose(found, x + 2 * rounded, atol=1e-5)  # sums of float32
    assert np.abs(found - (x + 2 * positions.array())).max() <= step * 1.001


def test_small_ones_and_other_types_stay() -> None:
    model = _model(_constant("row", (48,)), _constant("almost", (1, 1, 48)))
    before = save(model)
    shrink_constants(model)
    assert save(model) == before


def test_zeros_have_a_scale() -> None:
    zeros = Tensor("zeros", SHAPE, TensorType.FLOAT32, bytes(4 * 32 * 48))
    model = _model(zeros)
    shrink_constants(model)
    x = np.ones(SHAPE, np.float32)
    np.testing.assert_array_equal(run(make_interpreter(save(model)), {"x": x})[0], x)


def test_biases_stay_in_float_at_any_size() -> None:
    op = dense_op(np.random.default_rng(0), (1, 48), 2048, bits=4)
    bias = op.input(2)
    model = Model([Graph([op.input(0)], [op.outputs[0]], [op])], [], {})
    shrink_constants(model)
    assert model.graph.ops == [op]
    assert op.input(2) is bias


def test_data_are_rounded_once_in_a_shape() -> None:
    made: dict[int, Tensor] = {}
    wide, other = _constant("wide", (32, 48)), _constant("other", (32, 48), seed=1)
    again = replace(wide, name="again")
    first = int8_once(wide, made)
    assert int8_once(again, made) is first
    assert int8_once(other, made) is not first
    assert int8_once(replace(wide, shape=(48, 32)), made).shape == (48, 32)


def test_tables_of_the_same_data_keep_their_shapes() -> None:
    wide = _constant("wide", (32, 48))
    flat = replace(wide, name="flat", shape=(32 * 48,))
    row, number = Tensor("row", (1, 48), TensorType.FLOAT32), Tensor("number", (1,), TensorType.FLOAT32)
    ids = Tensor("ids", (1,), TensorType.INT32)
    ops = [
        make_op(BuiltinOperator.GATHER, [table, ids], [result], 1, "GatherOptions", axis=0)
        for table, result in ((wide, row), (flat, number))
    ]
    graph = Graph([ids], [row, number], ops)
    shrink_tables(graph, {})
    assert [op.name for op in graph.ops] == ["GATHER", "DEQUANTIZE"] * 2
    found = run(make_interpreter(save(Model([graph], [], {}))), {"ids": np.array([31], np.int32)})
    half_a_step = np.abs(wide.array()).max() / 254
    np.testing.assert_allclose(found[0], wide.array()[31:], atol=half_a_step * 1.001)  # float32 adds its own rounding
    np.testing.assert_allclose(found[1], flat.array()[31:32], atol=half_a_step * 1.001)
