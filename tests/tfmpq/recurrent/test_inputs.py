"""What gates read is told from what an LSTM reads and writes."""

from __future__ import annotations

import numpy as np
import pytest

from converters.frontend.dynamic_file import dynamic_file
from converters.layers.lstm_gates import is_lstm
from converters.layers.names import LayerNames
from converters.tflite.graph import Quantization, TensorType
from converters.tflite.reader import load
from tests.support.lstm_files import STEPS, UNITS, WIDTH, lstm_file, lstm_graph, lstm_weights, sequences
from tfmpq.recurrent.inputs import as_held, gate_inputs, measure_gate_inputs, read_gate_inputs
from tfmpq.recurrent.lstms import Use, bias_of, find_lstms

NO_NAMES = LayerNames()


def sigmoid(values: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-values))


def test_the_output_before():
    steps, outputs = np.arange(12.0).reshape(2, 3, 2), 100 + np.arange(6.0).reshape(2, 3, 1)
    read = gate_inputs(steps, outputs, steps_first=False)
    assert read.tolist() == [
        [0, 1, 0], [2, 3, 100], [4, 5, 101],
        [6, 7, 0], [8, 9, 103], [10, 11, 104],
    ]  # fmt: skip
    turned = gate_inputs(steps.swapaxes(0, 1), outputs.swapaxes(0, 1), steps_first=True)
    np.testing.assert_array_equal(turned.reshape(3, 2, 3).swapaxes(0, 1).reshape(6, 3), read)


@pytest.mark.parametrize("steps_first", [False, True])
def test_an_lstm_of_what_was_read_is_the_operator(steps_first: bool):
    """Gates of the inputs make the cell states and outputs that the runtime makes."""
    model = load(lstm_file(lstm_graph("main", [lstm_weights()], steps_first=steps_first)))
    (lstm,) = find_lstms(model, dynamic_file(model).model, NO_NAMES)
    x = sequences(1, steps_first=steps_first)
    feeds = {"x": x.reshape(STEPS, 1, WIDTH) if steps_first else x}
    (read,) = read_gate_inputs(model, lstm.uses, iter([feeds]))
    rows = read[lstm.uses[0]].astype(np.float64)
    assert rows.shape == (STEPS, WIDTH + UNITS)
    np.testing.assert_array_equal(rows[:, :WIDTH], x.reshape(STEPS, WIDTH))
    op = lstm.uses[0].float_op
    values = {gate.name: rows @ lstm.weight(gate).T + bias_of(op, gate) for gate in lstm.gates}
    cell, outputs = np.zeros(UNITS), []
    for step in range(STEPS):
        kept = sigmoid(values["forget"][step]) * cell
        cell = kept + sigmoid(values["input"][step]) * np.tanh(values["cell"][step])
        outputs.append(sigmoid(values["output"][step]) * np.tanh(cell))
    np.testing.assert_allclose(rows[1:, WIDTH:], outputs[:-1], atol=1e-5)  # float32


def test_moments():
    model = load(lstm_file(lstm_graph("main", [lstm_weights()])))
    (lstm,) = find_lstms(model, dynamic_file(model).model, NO_NAMES)
    data = [{"x": x[None]} for x in sequences(200)]
    found = measure_gate_inputs(model, [lstm], lambda: iter(data))[lstm]
    rows = np.concatenate([read[lstm.uses[0]] for read in read_gate_inputs(model, lstm.uses, iter(data))]).astype(float)
    np.testing.assert_allclose(found.means[lstm.uses[0]], rows.mean(axis=0), atol=1e-6)
    np.testing.assert_array_equal(found.held_means[lstm.uses[0]], found.means[lstm.uses[0]])  # floats are held
    covariance = np.cov(rows.T, bias=True)
    # Shrunk by what 200 sequences leave open of it: 2.1 %; of 20 it would be 11 %.
    assert np.linalg.norm(found.covariance - covariance) < 0.03 * np.linalg.norm(covariance)


def test_what_int8_holds():
    model = load(lstm_file(lstm_graph("main", [lstm_weights()])))
    base = dynamic_file(model).model
    float_op, op = (next(op for op in m.graph.ops if is_lstm(op)) for m in (model, base))
    read = np.random.default_rng(0).uniform(-1, 1, (50, WIDTH + UNITS)).astype(np.float32)
    assert as_held(Use(float_op, op), read) is read
    for slot, scale, zero in ((0, 0.01, 20), (18, 0.005, -100)):
        op.input(slot).type = TensorType.INT8
        op.input(slot).quantization = Quantization(np.array([scale], np.float32), np.array([zero]))
    held = as_held(Use(float_op, op), read)
    assert np.abs(held[:, :WIDTH] - read[:, :WIDTH]).max() <= 0.0051  # float32
    assert held[:, WIDTH:].min() >= -0.141  # (-128 + 100) steps
    clipped = np.clip(read[:, WIDTH:], -0.14, 1.0)
    assert np.abs(held[:, WIDTH:] - clipped).max() <= 0.0026
