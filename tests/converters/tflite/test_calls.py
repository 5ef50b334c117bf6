"""Graphs that call each other, and their order."""

from __future__ import annotations

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from converters.tflite.calls import arranged, calls, graph_label, reached
from converters.tflite.graph import BuiltinOperator, Graph, Model, Op
from converters.tflite.reader import load
from converters.tflite.writer import save
from tests.support.whole_files import WIDTH, activation, block, entry, matrices, run_entry, two_entries


def with_loop() -> Model:
    """Graph 0 calls graphs 2 and 3; graph 1 stands alone."""
    weights = matrices()
    graphs = [block(name, 1, weights) for name in ("main", "alone", "test", "body")]
    options = schema.WhileOptionsT()
    options.condSubgraphIndex, options.bodySubgraphIndex = 2, 3
    source = activation("state", (1,))
    loop = Op(
        BuiltinOperator.WHILE, [source], [activation("end", (1,))], 1, schema.BuiltinOptions.WhileOptions, options
    )
    graphs[0].inputs.append(source)
    graphs[0].ops.append(loop)
    return Model(graphs, [entry("alone", graphs[1])], {})


def called(graph: Graph, model: Model) -> list[str]:
    return [found.name for op in graph.ops for _, _, found in calls(op, model)]


def test_a_call_reaches_its_graphs():
    model = with_loop()
    assert called(model.graph, model) == ["test", "body"]
    assert [g.name for g in reached([model.graph], model)] == ["main", "test", "body"]
    assert [g.name for g in reached(model.graphs[1:2], model)] == ["alone"]


def test_calls_follow_their_graphs():
    model = with_loop()
    moved = arranged(model, [model.graphs[i] for i in (1, 3, 0, 2)], model.signatures)
    assert [g.name for g in moved.graphs] == ["alone", "body", "main", "test"]
    assert called(moved.graphs[2], moved) == ["test", "body"]
    assert moved.signatures[0].graph is moved.graph
    assert called(model.graph, model) == ["test", "body"]  # the original is as it was


def test_what_is_left_out_is_gone():
    model = with_loop()
    part = arranged(model, reached([model.graph], model), [])
    assert [g.name for g in part.graphs] == ["main", "test", "body"]
    assert called(part.graph, part) == ["test", "body"]


def test_signatures_compute_the_same_in_any_order():
    x = np.random.default_rng(0).normal(size=(1, 1, WIDTH)).astype(np.float32)
    first, second = two_entries(), two_entries(order=(1, 0))
    assert [s.key for s in load(second).signatures] == ["decode", "prefill"]
    assert np.array_equal(run_entry(first, "decode", x=x), run_entry(second, "decode", x=x))


def test_equal_weights_of_two_graphs_are_one_buffer():
    model = load(two_entries())
    kernels = [{t.name: t for op in g.ops for t in op.inputs if t and t.data} for g in model.graphs]
    assert all(kernels[0][name].data is kernels[1][name].data for name in kernels[0])
    assert len(save(model)) < 1.5 * sum(len(t.data or b"") for t in kernels[0].values())


def test_labels_are_signatures_where_there_are_some():
    model = with_loop()
    assert graph_label(model, 1) == "signature 'alone'"
    assert graph_label(model, 3) == "graph 3 (body)"
