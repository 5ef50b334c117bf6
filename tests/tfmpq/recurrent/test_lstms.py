"""LSTMs are found, named, and told to be one where they share their weights."""

from __future__ import annotations

import numpy as np

from converters.frontend.dynamic_file import dynamic_file
from converters.layers.lstm_gates import is_lstm
from converters.layers.names import LayerNames
from converters.tflite.graph import Model
from converters.tflite.reader import load
from tests.support.lstm_files import UNITS, WIDTH, lstm_file, lstm_graph, lstm_weights
from tfmpq.recurrent.lstms import Lstm, bias_of, find_lstms

A, B = lstm_weights(0), lstm_weights(1)


def found_in(model: Model) -> tuple[Lstm, ...]:
    return find_lstms(model, dynamic_file(model).model, LayerNames())


def test_one():
    (lstm,) = found_in(load(lstm_file(lstm_graph("main", [A]))))
    assert (lstm.name, lstm.columns, len(lstm.uses), lstm.others) == ("main/lstm0", WIDTH + UNITS, 1, ())
    gate = lstm.gates[1]
    np.testing.assert_array_equal(lstm.weight(gate), np.concatenate([A[2], A[6]], axis=1))
    np.testing.assert_array_equal(bias_of(lstm.uses[0].float_op, gate), A[13])
    steps = lstm.scales(gate)
    assert np.abs(lstm.codes(gate) * steps - lstm.weight(gate)).max() <= 0.51 * steps.max()
    assert steps[0] == lstm.uses[0].op.input(2).scale
    assert steps[-1] == lstm.uses[0].op.input(6).scale


def test_weights_in_common():
    apart = found_in(load(lstm_file(lstm_graph("main", [A, B]))))
    assert [(lstm.name, len(lstm.uses)) for lstm in apart] == [("main/lstm0", 1), ("main/lstm1", 1)]
    (pooled,) = found_in(load(lstm_file(lstm_graph("main", [A, A]))))
    assert len(pooled.uses) == 2
    across = found_in(load(lstm_file(lstm_graph("main", [A]), lstm_graph("other", [B, A]))))
    assert [(len(lstm.uses), len(lstm.others)) for lstm in across] == [(1, 1)]


def test_a_bias_is_no_part_of_it():
    other = {**A, 13: A[13] * 2}
    (pooled,) = found_in(load(lstm_file(lstm_graph("main", [A, other]))))
    first, second = (bias_of(use.float_op, pooled.gates[1]) for use in pooled.uses)
    np.testing.assert_array_equal(first * 2, second)


def test_none():
    graph = lstm_graph("main", [A])
    graph.ops[0].inputs[9] = graph.ops[0].inputs[12]  # peepholes
    assert found_in(load(lstm_file(graph))) == ()
    broken = {**A, 3: np.where(np.arange(WIDTH) == 3, np.float32(np.inf), A[3])}
    model = load(lstm_file(lstm_graph("main", [A])))
    base = dynamic_file(model).model
    weight = next(op for op in model.graph.ops if is_lstm(op)).input(3)
    weight.data = broken[3].tobytes()
    assert find_lstms(model, base, LayerNames()) == ()
