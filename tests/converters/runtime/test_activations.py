from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from converters.errors import FileFormatError
from converters.reference.integer_ops import run_op
from converters.rewriting.small_constants import dequantize, int8_once
from converters.runtime.activations import make_reader
from converters.tflite.graph import BuiltinOperator, Graph, Model, Op, Tensor, TensorType
from converters.tflite.reader import load
from converters.tflite.writer import save
from tests.support.dynamic_models import dense_op, floats
from tests.support.op_models import KERNELS, activation, add_op, bias, file_of, integers, layer_op, weight


@pytest.fixture
def content() -> bytes:
    """Y = W x + b, z = y + x: the input is read twice, y inside the graph and z outside."""
    x, y, z = (activation(name, (2, 4), 0.1, 3) for name in "xyz")
    weights = weight("w", "dense", np.diag([10, -20, 30, -40]), np.full(4, 0.1))
    dense = layer_op("dense", x, weights, bias("b", np.arange(4), x, weights), y)
    return file_of([dense, add_op(x, y, z)], [x], [z])


@pytest.mark.parametrize("kernels", KERNELS)
def test_every_kernel_shows_what_operators_read_and_write(content, kernels):
    model = load(content)
    dense, add = model.graph.ops
    x, y, z = dense.input(0), dense.outputs[0], add.outputs[0]
    read = make_reader(content, model, [dense, add], kernels=kernels)
    for seed in range(2):
        feed = np.random.default_rng(seed).integers(-128, 127, (2, 4), np.int8, endpoint=True)
        values = read({"x": feed})
        assert set(values) == {x, y, z}
        np.testing.assert_array_equal(values[x], feed)
        # These sums lie on no tie, so all kernels must give the reference's integers.
        np.testing.assert_array_equal(values[y], run_op(dense, [feed, None, None])[0])
        np.testing.assert_array_equal(values[z], run_op(add, [feed, values[y]])[0])


@pytest.mark.parametrize("kernels", KERNELS)
def test_only_what_is_asked_for_is_read(content, kernels):
    model = load(content)
    dense, _ = model.graph.ops
    values = make_reader(content, model, [dense], kernels=kernels)({"x": np.zeros((2, 4), np.float32)})
    assert set(values) == {dense.input(0), dense.outputs[0]}
    assert (values[dense.input(0)] == 3).all()  # a real zero is the zero point
    assert make_reader(content, model, [], kernels=kernels)({"x": np.zeros((2, 4), np.float32)}) == {}


def test_a_refused_file_is_an_error(content):
    model = load(content)
    model.graph.ops[0].version = 99
    broken = file_of(model.graph.ops, model.graph.inputs, model.graph.outputs)
    with pytest.raises(FileFormatError, match="version '99'"):
        make_reader(broken, load(broken), model.graph.ops, kernels="builtin")


@pytest.mark.parametrize("kernels", KERNELS)
@pytest.mark.parametrize("slot", [0, 2])
def test_constants_that_are_unpacked_are_read_too(kernels, slot):
    # XNNPACK leaves them unwritten as outputs: zeros for 2,048 numbers (fresh memory), anything for few.
    for rows in (2048, 8):
        op = dense_op(np.random.default_rng(0), (1, 32), rows, bits=8)
        shape = op.input(slot).shape
        numbers = np.random.default_rng(1).normal(size=shape).astype(np.float32)
        packed = int8_once(Tensor("packed", shape, TensorType.FLOAT32, numbers.tobytes()), {})
        source, given = op.input(0), floats("unpacked", shape)
        op.inputs[slot] = given
        content = file_of([dequantize(packed, given), op], [source], op.outputs)
        model = load(content)
        dense = model.graph.ops[1]
        read = make_reader(content, model, [dense], kernels=kernels)
        for _ in range(2):
            values = read({"x": np.zeros((1, 32), np.float32)})
            found = values[dense.input(slot)]
            np.testing.assert_array_equal(found, packed.array() * np.float32(packed.scale))  # one product, rounded once
            assert values[dense.outputs[0]].any()


def loop_file() -> bytes:
    """Adds 1 to i while i < 3, x staying as it is; nothing reads x afterwards."""

    def value(name: str, kind: int = TensorType.INT32, data: bytes | None = None) -> Tensor:
        return Tensor(name, (1,), kind, data)

    def op(name: str, sources: list[Tensor], result: list[Tensor], options: Any = None) -> Op:
        inputs: list[Tensor | None] = [*sources]
        kind = {"ADD": schema.BuiltinOptions.AddOptions, "WHILE": schema.BuiltinOptions.WhileOptions}.get(name, 0)
        return Op(getattr(BuiltinOperator, name), inputs, result, 1, kind, options)

    i, x, last_i, last_x = (value(name) for name in ("i", "x", "last_i", "last_x"))
    options: Any = schema.WhileOptionsT()
    options.condSubgraphIndex, options.bodySubgraphIndex = 1, 2
    main = Graph([i, x], [last_i], [op("WHILE", [i, x], [last_i, last_x], options)])
    i, x, less = value("i"), value("x"), value("less", TensorType.BOOL)
    condition = Graph([i, x], [less], [op("LESS", [i, integers("three", [3])], [less])])
    i, x, next_i = value("i"), value("x"), value("next_i")
    body = Graph([i, x], [next_i, x], [op("ADD", [i, integers("one", [1])], [next_i], schema.AddOptionsT())])
    return save(Model([main, condition, body], [], {}))


def test_what_a_loop_hands_on_and_nothing_reads_is_left_out():
    content = loop_file()
    model = load(content)
    (loop,) = model.graph.ops
    read = make_reader(content, model, [loop], kernels="builtin")
    values = read({"i": np.array([0], np.int32), "x": np.array([1], np.int32)})
    assert set(values) == {*model.graph.inputs, loop.outputs[0]}
    np.testing.assert_array_equal(values[loop.outputs[0]], [3])
