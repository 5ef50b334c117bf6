"""Layers whose weights several graphs of a file read."""

from __future__ import annotations

import numpy as np

from converters.frontend.dynamic_file import dynamic_file
from converters.layers.channel_groups import channel_groups
from converters.layers.find import find_layers
from converters.layers.layer import Layer
from converters.layers.shared import in_place, share_layers, unmeasured
from converters.tflite.graph import BuiltinOperator, Graph, Model
from converters.tflite.new_ops import make_op
from converters.tflite.reader import load
from converters.tflite.writer import save
from tests.support.whole_files import WIDTH, activation, block, constant, entry, matrices, two_entries


def found(content: bytes) -> tuple[list[Layer], Model]:
    model = load(content)
    base = dynamic_file(model).model
    return find_layers(model.graph, base.graph)[0], base


def test_uses_in_other_graphs_come_with_their_biases():
    layers, base = found(two_entries())
    shared, left = share_layers(layers, base)
    assert left == []
    assert [[use.graph for use in layer.elsewhere] for layer in shared] == [[1], [1], [1]]
    assert all(np.array_equal(layer.elsewhere[0].bias, layer.uses[0].bias) for layer in shared)
    there = shared[0].in_graph(1)
    assert there.uses[0].int8_op is base.graphs[1].ops[0]
    assert there.elsewhere == ()


def test_files_of_one_graph_are_left_alone():
    graph = block("main", 8, matrices())
    layers, base = found(save(Model([graph], [entry("main", graph)], {})))
    groups = channel_groups(base.graph)
    shared, left = share_layers(layers, base)
    assert (shared, left) == (layers, [])
    assert in_place(groups, shared) is groups


def test_other_shapes_of_a_weight_leave_it_int8():
    """A 1x1 convolution has the very bytes of a dense layer."""
    weights = matrices()
    x = activation("other/x", (1, 4, 4, WIDTH))
    kernel = constant("up/kernel", weights[0].reshape(len(weights[0]), 1, 1, WIDTH))
    bias, y = constant("other/bias", np.zeros(len(weights[0]))), activation("other/y", (1, 4, 4, len(weights[0])))
    conv = make_op(
        BuiltinOperator.CONV_2D, [x, kernel, bias], [y], 1, "Conv2DOptions", padding=0, strideH=1, strideW=1
    )  # fmt: skip
    graphs = [block("main", 8, weights), Graph([x], [y], [conv], "other")]
    layers, base = found(save(Model(graphs, [entry(g.name, g) for g in graphs], {})))
    shared, left = share_layers(layers, base)
    assert [layer.name for layer in shared] == ["down", "head"]
    assert [(s.name, s.reason) for s in left] == [
        ("up", "CONV_2D of signature 'other' reads its weight in another way, and both stay one int8 weight")
    ]


def test_weights_without_data_are_named():
    graphs = [block("main", 8, matrices()), block("other", 8, matrices(seed=3))]
    layers, base = found(save(Model(graphs, [entry(g.name, g) for g in graphs], {})))
    shared, _ = share_layers(layers, base)
    reasons = {s.reason for s in unmeasured(shared, base, [0, 1])}
    assert reasons == {"it is in signature 'other' only, for which there are no data"}
    assert [s.name for s in unmeasured(shared, base, [0, 1])] == ["up/kernel", "down/kernel", "head/kernel"]
    assert unmeasured(shared, base, [0]) == []


def test_channels_stay_in_place_where_other_graphs_would_have_to_follow():
    layers, base = found(two_entries())
    shared, _ = share_layers(layers, base)
    hidden = base.graph.ops[0].outputs[0]
    groups = channel_groups(base.graph)
    assert groups[hidden][0].frozen is None
    held = in_place(groups, shared)
    assert held[hidden][0].frozen == "other graphs of the file read the same weights"
    assert held.keys() == groups.keys()
