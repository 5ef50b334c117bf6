"""Operators of the float file and of its int8 twin belong together by what they compute."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

import tfmpq
from converters.layers.counterparts import find_counterparts
from converters.layers.find import find_layers
from converters.layers.twins import twin_ops
from converters.tflite.graph import BuiltinOperator, Graph, Model, Op, Tensor, TensorType
from converters.tflite.reader import load
from converters.tflite.writer import save

keras = pytest.importorskip("keras")


@pytest.fixture
def graphs(conv_net_float: bytes, conv_net_int8: bytes) -> tuple[Graph, Graph]:
    """The shared network, to be damaged."""
    return load(conv_net_float).graph, load(conv_net_int8).graph


def test_equal_sequences(graphs):
    pairs = twin_ops(*graphs)
    assert [(a.name, b and b.name) for a, b in pairs] == [(op.name, op.name) for op in graphs[0].ops]
    assert [b for _, b in pairs] == [op for op in graphs[1].ops if op.name not in ("QUANTIZE", "DEQUANTIZE")]


def test_another_order_and_other_names(graphs):
    """Layers are told by their weights alone."""
    expected = [b for _, b in twin_ops(*graphs)]
    graphs[1].ops.reverse()
    for op in graphs[1].ops:
        op.outputs[0].name = "renamed"
    found = [b for a, b in twin_ops(*graphs) if len(a.inputs) == 3]
    assert found == [op for op in expected if op is not None and len(op.inputs) == 3]


def test_weights_of_a_type_that_is_not_read_are_no_twins(graphs):
    """A damaged file; one of its weights claims to hold UINT32."""
    damaged = next(op for op in graphs[0].ops if len(op.inputs) == 3)
    damaged.input(1).type = TensorType.UINT32
    graphs[1].ops.reverse()  # operators are compared by their weights only where the sequences differ
    assert dict(twin_ops(*graphs))[damaged] is None


def test_layers_of_one_shape_are_told_apart():
    """A twin whose two layers stand the other way round; only the values of their weights differ."""
    x, y, z = (Tensor(name, (1, 4), TensorType.FLOAT32) for name in "xyz")
    rng = np.random.default_rng(0)

    def dense(name: str, a: Tensor, b: Tensor) -> Op:
        values = rng.normal(size=(4, 4)).astype(np.float32)
        weight = Tensor(name, values.shape, TensorType.FLOAT32, values.tobytes())
        options: Any = schema.FullyConnectedOptionsT()
        return Op(BuiltinOperator.FULLY_CONNECTED, [a, weight, None], [b], 1, 8, options)

    graph = Graph([x], [z], [dense("first", x, y), dense("second", y, z)])
    other = load(save(Model([graph], [], {}))).graph
    other.ops.reverse()
    assert [b and b.input(1).name for _, b in twin_ops(graph, other)] == ["first", "second"]


def test_weights_that_differ_are_no_twins(graphs):
    """One step of the twin's scale is allowed, two are not."""
    graphs[1].ops.reverse()
    op = next(op for op in graphs[1].ops if op.name == "FULLY_CONNECTED")
    codes = op.input(1).array().astype(int)
    codes[3, 5] += 2 if codes[3, 5] < 0 else -2
    op.inputs[1].data = codes.astype(np.int8).tobytes()
    assert [a.name for a, b in twin_ops(*graphs) if b is None and len(a.inputs) == 3] == ["FULLY_CONNECTED"]


# ---------------------------------------------------------------- a real rewriting


def sliced() -> bytes:
    """A network with a STRIDED_SLICE as litert-torch writes it, where Keras would have a SLICE."""
    keras.utils.set_random_seed(0)
    layers = keras.layers
    x = keras.Input((4, 16), name="x")
    y = layers.Dense(64, activation="relu", name="body")(x)
    model = keras.Model(x, layers.Dense(64, name="head")(y[:, 1:3] + layers.Dense(64, name="side")(y[:, :2])))
    from converters.frontend.load import load_model

    file = load(load_model(model).flatbuffer)
    for op in file.graph.ops:
        if op.name in ("SLICE", "STRIDED_SLICE"):
            begin = op.input(1).array()
            end = begin + np.array(op.outputs[0].shape)
            options: Any = schema.StridedSliceOptionsT()
            kinds = ("begin", begin), ("end", end), ("step", np.ones(3))
            op.inputs[1:] = [Tensor(n, (3,), TensorType.INT32, v.astype(np.int32).tobytes()) for n, v in kinds]
            op.code, op.version = BuiltinOperator.STRIDED_SLICE, 1
            op.options_type, op.options = schema.BuiltinOptions.StridedSliceOptions, options
    return save(file)


def test_slices_that_tensorflow_writes_anew():
    data = np.random.default_rng(0).normal(size=(40, 4, 16)).astype(np.float32)
    result = tfmpq.convert(sliced(), data, progress=False, validate=False)
    first, second = load(result.float_model), load(result.stock_model)
    names = [[op.name for op in m.graph.ops if "SLICE" in op.name] for m in (first, second)]
    assert names == [["STRIDED_SLICE"] * 2, ["SLICE"] * 2]  # what this test is about
    layers, skipped = find_layers(first.graph, second.graph)
    assert (len(layers), skipped) == (3, [])
    assert len(result.report.layers) == 3
    pairs = find_counterparts(first, second)
    assert not pairs.only_first
    assert not pairs.only_second
    assert {(a.kind, b.kind) for a, b in pairs.pairs if a.kind != b.kind} == {("STRIDED_SLICE", "SLICE")}
