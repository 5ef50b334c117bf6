"""How often rows are looked up, and what is made of it."""

from __future__ import annotations

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from converters.frontend.dynamic_file import dynamic_file
from converters.layers.find import find_layers
from converters.layers.layer import Layer
from converters.reference.position_gradients import relevant_positions
from converters.rewriting.lookups import with_lookups
from converters.tflite.graph import BuiltinOperator, Graph, Model, Op, Tensor, TensorType
from tests.support.table_nets import float_table, gather_model
from tfmpq.measure.lookups import collect_lookups, count_lookups, row_probabilities
from tfmpq.measure.sensitivity import RoundedWeight, measure_layers

SAMPLES = [{"ids": np.array([[0, 5, 5, 89]], np.int32)}, {"ids": np.array([[5, 1, 0, 2]], np.int32)}]


def _network() -> tuple[Model, Layer]:
    model = with_lookups(gather_model(float_table(), (1, 4)))
    (layer,), _ = find_layers(model.graph, dynamic_file(model).graph)
    return model, layer


def test_ids_of_all_samples_are_counted():
    model, layer = _network()
    counts = count_lookups(model, [layer], lambda: iter(SAMPLES))[layer.name]
    assert counts.sum() == 8
    assert counts[5] == 3
    assert counts[0] == 2
    assert counts[89] == 1
    statistics = collect_lookups(model, [layer], lambda: iter(SAMPLES))[layer.name]
    np.testing.assert_array_equal(statistics.rows, row_probabilities(counts))
    assert statistics.positions == 8


def test_lookups_that_the_output_does_not_depend_on_do_not_count():
    plain, layer = _network()
    rows = plain.graph.outputs[0]
    mask = np.array([1, 0, 1, 1], np.float32).reshape(1, 4, 1)
    factors = Tensor("mask", mask.shape, TensorType.FLOAT32, mask.tobytes())
    masked = Tensor("masked", rows.shape, TensorType.FLOAT32)
    options = schema.MulOptionsT()
    product = Op(BuiltinOperator.MUL, [rows, factors], [masked], 1, schema.BuiltinOptions.MulOptions, options)
    graph = Graph(plain.graph.inputs, [masked], [*plain.graph.ops, product])
    model = Model([graph], [], {})
    relevance = relevant_positions(graph, [layer], SAMPLES, {"ids": graph.inputs[0]})
    assert [known.tolist() for known in relevance[layer.name]] == [[True, False, True, True]] * 2
    counts = count_lookups(model, [layer], lambda: iter(SAMPLES), relevance)[layer.name]
    assert counts[5] == 2  # of three
    assert counts[1] == 0
    assert counts.sum() == 6


@pytest.mark.parametrize("counts", [[3, 0, 1, 0, 4], [5, 5], [1, 1, 0, 0], [0, 0], [7, 0]])
def test_probabilities_are_some(counts: list[int]):
    found = row_probabilities(np.array(counts))
    assert found.sum() == pytest.approx(1, abs=1e-12)
    assert (found > 0).all()
    order = np.argsort(counts, kind="stable")
    assert (np.diff(found[order]) >= -1e-12).all()  # what is seen more often is likelier


def test_rows_never_seen_have_what_rows_seen_once_have():
    counts = np.array([90, 8, 1, 1, 0, 0, 0, 0])
    found = row_probabilities(counts)
    assert found[4:].sum() == pytest.approx(2 / 101)
    assert found[0] == pytest.approx(0.9 * 99 / 101)


def test_the_cost_at_the_output_is_that_of_the_rows_in_use():
    model, layer = _network()
    used, unused = (layer.weight.copy() for _ in range(2))
    used[5] += 1
    unused[50] += 1
    cost = {
        name: measure_layers(model, [layer], {layer.name: RoundedWeight(rows, (np.zeros(len(rows)),))}, SAMPLES)
        for name, rows in (("used", used), ("unused", unused))
    }
    assert cost["unused"][layer.name] == 0 < cost["used"][layer.name]
