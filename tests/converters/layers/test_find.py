"""Weight layers of a float graph and its int8 twin."""

from __future__ import annotations

from dataclasses import replace
from math import prod

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from converters.errors import ModelError
from converters.layers.find import find_layers
from converters.layers.im2col import Geometry
from converters.layers.kinds import KINDS
from converters.layers.names import LayerNames
from converters.tflite.graph import BuiltinOperator, Graph, Op, Quantization, Tensor, TensorType
from converters.tflite.reader import load
from tests.support.pipeline import convert_once, random_vectors, residual

NAMES = ["stem", "depthwise", "project", "classifier"]


@pytest.fixture
def graphs(conv_net_float: bytes, conv_net_int8: bytes) -> tuple[Graph, Graph]:
    """The shared network, to be damaged."""
    return load(conv_net_float).graph, load(conv_net_int8).graph


def find(graphs: tuple[Graph, Graph]):
    return find_layers(*graphs, names=LayerNames(tuple(NAMES), 3))


def set_weight(op: Op, slot: int, values: np.ndarray) -> None:
    old = op.input(slot)
    op.inputs[slot] = Tensor(old.name, old.shape, old.type, values.astype(np.float32).tobytes())


# ---------------------------------------------------------------- what is found


def test_layers_of_a_network(graphs, conv_net):
    layers, skipped = find(graphs)
    assert skipped == []
    assert [(la.name, la.kind.name, la.weight.shape, la.groups) for la in layers] == [
        ("stem", "conv", (8, 27), 1),
        ("depthwise", "depthwise", (8, 9), 8),
        ("project", "conv", (16, 8), 1),
        ("classifier", "dense", (10, 16), 1),
    ]
    assert [la.geometry for la in layers] == [
        Geometry((3, 3), (1, 1), (1, 1), "SAME"),
        Geometry((3, 3), (1, 1), (1, 1), "SAME"),
        Geometry((1, 1), (1, 1), (1, 1), "VALID"),
        Geometry(),
    ]
    assert [(la.is_first, la.is_last) for la in layers] == [
        (True, False),
        (False, False),
        (False, False),
        (False, True),
    ]
    for layer in layers:
        kernel, bias = (np.asarray(v) for v in conv_net.get_layer(layer.name).get_weights())
        # Keras: outputs last, depthwise (h, w, channels, multiplier). Rows run over h, w, input channel.
        expected = kernel.reshape(9, 8).T if layer.kind.per_channel else kernel.reshape(-1, kernel.shape[-1]).T
        np.testing.assert_array_equal(layer.weight, expected)
        np.testing.assert_array_equal(layer.uses[0].bias, bias)
        assert layer.weight.dtype == layer.uses[0].bias.dtype == np.float32


def test_geometry_groups_and_uses():
    import keras

    k = keras.layers
    x = keras.Input((9, 8, 4), name="x")
    shared = k.Conv2D(8, (3, 2), strides=(2, 1), padding="same", name="shared")
    y = k.Add()([shared(x), shared(k.ReLU()(x))])
    y = k.Conv2D(8, 3, dilation_rate=(1, 2), groups=2, activation="relu", name="dilated")(y)
    y = k.DepthwiseConv2D(2, depth_multiplier=3, use_bias=False, name="multiplied")(y)
    y = k.Conv2DTranspose(5, (3, 2), strides=(2, 1), padding="valid", name="up")(y)
    model = random_vectors(keras.Model(x, y))
    feeds = [{"x": v} for v in np.random.default_rng(0).normal(size=(4, 1, 9, 8, 4)).astype(np.float32)]
    layers = convert_once(model, feeds).layers
    found = {n: (la.weight.shape, la.groups, la.geometry, len(la.uses)) for n, la in layers.items()}
    assert found == {
        "shared": ((8, 24), 1, Geometry((3, 2), (2, 1), (1, 1), "SAME"), 2),
        "dilated": ((8, 36), 2, Geometry((3, 3), (1, 1), (1, 2), "VALID"), 1),
        "multiplied": ((24, 4), 8, Geometry((2, 2), (1, 1), (1, 1), "VALID"), 1),
        "up": ((5, 144), 1, Geometry((3, 2), (2, 1), (1, 1), "VALID"), 1),
    }
    assert not layers["multiplied"].uses[0].bias.any()
    # The int8 op of a use is the float op's twin, and its input what the layer reads there.
    for layer in layers.values():
        for use in layer.uses:
            assert use.float_op.name == use.int8_op.name
            assert use.float_input.shape == use.int8_input.shape
            assert use.int8_input.type == TensorType.INT8
    first, second = layers["shared"].uses
    assert first.float_op is not second.float_op
    assert layers["shared"].is_first
    assert [name for name, layer in layers.items() if layer.is_last] == ["up"]


def test_ends_of_a_branched_network():
    import keras

    k = keras.layers
    x, z = keras.Input((6, 6, 4), name="x"), keras.Input((6, 6, 2), name="z")
    a, b = k.Conv2D(4, 1, name="a")(x), k.Conv2D(4, 1, name="b")(k.ReLU()(z))
    early = k.Conv2D(3, 1, name="early")(a)
    late = k.Dense(5, name="late")(k.GlobalAveragePooling2D()(k.Conv2D(4, 1, name="middle")(k.Add()([a, b]))))
    rng = np.random.default_rng(0)
    feeds = [{n: rng.normal(size=(1, 6, 6, c)).astype(np.float32) for n, c in (("x", 4), ("z", 2))} for _ in range(4)]
    layers = convert_once(random_vectors(keras.Model([x, z], [early, k.Softmax()(late)])), feeds).layers
    assert {n for n, layer in layers.items() if layer.is_first} == {"a", "b"}
    assert {n for n, layer in layers.items() if layer.is_last} == {"early", "late"}


def test_branches_that_others_read_on_from_are_no_ends():
    """A network of residual branches without a head; where it ends in a sum, what nobody else reads is an end."""
    import keras

    k = keras.layers
    x = keras.Input((6, 8), name="x")
    y = k.Dense(8, name="stem")(x)
    for block in range(3):
        y = k.LayerNormalization()(y + k.Dense(8, name=f"down{block}")(k.Dense(16, name=f"up{block}")(y)))
    y = y + k.Dense(8, name="side")(x)
    feeds = [{"x": v} for v in np.random.default_rng(0).normal(size=(4, 1, 6, 8)).astype(np.float32)]
    layers = convert_once(keras.Model(x, k.GlobalAveragePooling1D()(y)), feeds).layers
    assert [n for n, layer in layers.items() if layer.is_last] == ["side", "down2"]


def test_what_reads_an_embedding_is_not_first():
    import keras

    k = keras.layers
    x = keras.Input((6,), name="x", dtype="int32")
    y = k.Dense(4, name="last")(k.Dense(8, name="dense")(k.GlobalAveragePooling1D()(k.Embedding(20, 8)(x))))
    feeds = [{"x": v} for v in np.random.default_rng(0).integers(0, 20, (4, 1, 6)).astype(np.int32)]
    layers = convert_once(keras.Model(x, y), feeds).layers
    assert [n for n, layer in layers.items() if layer.is_first] == []


def test_reading_a_shape_does_not_reach_the_output():
    import keras

    # With an open batch the last dense layer's output shape is computed from its input's.
    x = keras.Input((6, 6, 4), name="x")
    y = keras.layers.Conv2D(6, 1, name="first")(x)
    y = keras.layers.Dense(3, name="last")(keras.layers.Conv2D(6, 1, name="middle")(y))
    feeds = [{"x": v} for v in np.random.default_rng(0).normal(size=(4, 1, 6, 6, 4)).astype(np.float32)]
    found = convert_once(keras.Model(x, y), feeds, batch_size=None)
    assert "SHAPE" in [op.name for op in found.int8_graph.ops]
    assert [n for n, layer in found.layers.items() if layer.is_last] == ["last"]


def test_one_weight_read_with_different_geometry_is_two_layers(graphs):
    for graph in graphs:
        project = graph.ops[2]
        options = schema.Conv2DOptionsT()
        vars(options).update({**vars(project.options), "strideH": 2, "strideW": 2})
        target = replace(project.outputs[0], name="again", shape=(1, 4, 4, 16))
        graph.ops.insert(3, replace(project, outputs=[target], options=options))
        graph.outputs.append(target)
    layers, _ = find(graphs)
    both = [layer for layer in layers if layer.name.startswith("project")]
    assert [(layer.name, layer.geometry.stride) for layer in both] == [
        ("project:conv", (1, 1)),
        ("project:conv:2", (2, 2)),
    ]
    assert both[0].weight.tobytes() == both[1].weight.tobytes()


def test_quantize_ops_at_the_ends_are_skipped():
    found = {dtype: residual(dtype).layers for dtype in ("int8", "float32")}
    assert list(found["int8"]) == list(found["float32"])


@pytest.mark.parametrize(
    ("kind", "shape", "rows"),
    [
        ("conv", (5, 2, 3, 4), (5, 24)),
        ("depthwise", (1, 2, 3, 5), (5, 6)),
        ("dense", (5, 7), (5, 7)),
        ("transpose_conv", (5, 2, 3, 4), (5, 24)),
    ],
)
def test_rows_and_back(kind: str, shape: tuple[int, ...], rows: tuple[int, int]):
    array = np.arange(np.prod(shape)).reshape(shape)
    matrix = KINDS[kind].rows(array)
    assert matrix.shape == rows
    np.testing.assert_array_equal(matrix[2], np.take(array, 2, KINDS[kind].row_axis).reshape(-1))
    np.testing.assert_array_equal(KINDS[kind].tensor(matrix, shape), array)
    np.testing.assert_array_equal(KINDS[kind].tensor(matrix[1:3], shape), np.take(array, [1, 2], KINDS[kind].row_axis))


# ---------------------------------------------------------------- what stays stock


def test_weights_the_graph_computes(graphs):
    for graph in graphs:
        op = graph.ops[2]
        op.inputs[1] = replace(op.input(1), data=None)
    layers, skipped = find(graphs)
    assert [layer.name for layer in layers] == ["stem", "depthwise", "classifier"]
    # Its weight has no name to go by: the output has.
    assert [(s.name, s.op, s.reason) for s in skipped] == [
        ("project", "CONV_2D", "its weight is computed by the graph, not a constant")
    ]


def test_what_tensorflow_leaves_in_float(graphs):
    op = graphs[1].ops[2]
    op.inputs[1] = graphs[0].ops[2].input(1)
    _, skipped = find(graphs)
    assert [(s.name, s.reason) for s in skipped] == [("project", "TensorFlow leaves it in float")]


def test_weights_with_a_zero_point(graphs):
    op = graphs[1].ops[2]
    scaling = op.input(1).quantization
    assert scaling is not None
    op.inputs[1] = replace(op.input(1), quantization=Quantization(scaling.scale, scaling.zero_point + 1))
    _, skipped = find(graphs)
    assert [(s.name, s.reason) for s in skipped] == [("project", "its stock weights are not symmetric int8")]


@pytest.mark.parametrize(("shape", "listed"), [((2, 32), True), ((3, 21), False), ((1, 64), False)])
def test_other_ops_are_listed_if_they_hold_matrices(graphs, shape: tuple[int, int], listed: bool):
    size = prod(shape)
    for graph, kind in zip(graphs, (TensorType.FLOAT32, TensorType.INT8), strict=True):
        source = graph.ops[-1].outputs[0]
        table = Tensor("table", shape, kind, bytes(size * (4 if kind == TensorType.FLOAT32 else 1)))
        result = Tensor("net/lookup/MatMul", (1, size), kind)
        graph.ops.append(Op(BuiltinOperator.BATCH_MATMUL, [source, table], [result]))
    _, skipped = find(graphs)
    expected = [("net/lookup", "BATCH_MATMUL has no multipoint form; it stays as TensorFlow converts it")]
    assert [(s.name, s.reason) for s in skipped] == (expected if listed else [])


# ---------------------------------------------------------------- refusals


@pytest.mark.parametrize(("slot", "what", "value"), [(1, "weight", np.nan), (1, "weight", np.inf), (2, "bias", np.nan)])
def test_numbers_that_are_none(graphs, slot: int, what: str, value: float):
    op = graphs[0].ops[2]
    values = op.input(slot).array().copy()
    values[5] = value
    set_weight(op, slot, values)
    message = rf"layer 'project' \(CONV_2D\): {what} has NaN or Inf at channel 5; .* Check the checkpoint"
    with pytest.raises(ModelError, match=message):
        find(graphs)


def test_layers_without_a_twin_stay(graphs):
    weight = graphs[1].ops[2].input(1)
    graphs[1].ops[2].inputs[1] = replace(weight, shape=(8, 1, 1, 16))
    layers, skipped = find(graphs)
    assert [layer.name for layer in layers] == ["stem", "depthwise", "classifier"]
    reason = "TensorFlow rewrites it while quantizing: no operator of the int8 file has its weights"
    assert [(s.name, s.reason) for s in skipped] == [("project", reason)]
