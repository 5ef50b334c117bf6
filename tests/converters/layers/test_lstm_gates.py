"""Which LSTMs can have other codes, and why not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from converters.frontend.dynamic_file import dynamic_file
from converters.layers.find import find_layers
from converters.layers.lstm_gates import fixed_codes, gates_of, has_projection, is_lstm
from converters.tflite.graph import Model, Op, Quantization, TensorType
from converters.tflite.reader import load
from tests.support.lstm_files import UNITS, lstm_file, lstm_graph, lstm_weights
from tests.support.whole_files import constant


@pytest.fixture
def pair() -> tuple[Model, Model]:
    model = load(lstm_file(lstm_graph("main", [lstm_weights()])))
    return model, dynamic_file(model).model


def lstm(model: Model) -> Op:
    return next(op for op in model.graph.ops if is_lstm(op))


def reason(model: Model, base: Model) -> str:
    """What the report says of the LSTM."""
    _, skipped = find_layers(model.graph, base.graph)
    return next(s.reason for s in skipped if s.op == "UNIDIRECTIONAL_SEQUENCE_LSTM")


def test_gates(pair: tuple[Model, Model]):
    op, twin = map(lstm, pair)
    assert [gate.name for gate in gates_of(op)] == ["input", "forget", "cell", "output"]
    assert not has_projection(op)
    assert fixed_codes(op, twin) is None
    assert reason(*pair).endswith("codes are chosen by output error at these scales")
    for model in pair:
        for slot in (1, 5, 12):
            lstm(model).inputs[slot] = None  # 1 less the forget gate
    assert [gate.name for gate in gates_of(op)] == ["forget", "cell", "output"]
    assert fixed_codes(op, twin) is None


@pytest.mark.parametrize(
    ("slot", "what"), [(9, "peepholes"), (11, "peepholes"), (16, "a projection"), (20, "normalized gates")]
)
def test_other_kinds(pair: tuple[Model, Model], slot: int, what: str):
    op, twin = map(lstm, pair)
    op.inputs += [None] * (24 - len(op.inputs))
    op.inputs[slot] = constant("more", np.ones(UNITS, np.float32))
    assert what in str(fixed_codes(op, twin))
    assert f"it stays as TensorFlow converts it: it has {what}" in reason(*pair)


def test_matrices_that_stay_in_float(pair: tuple[Model, Model]):
    model, _ = pair
    assert "stay in float" in str(fixed_codes(lstm(model), lstm(model)))
    assert "a matrix has fewer than 1,024 numbers" in reason(model, model)


def test_files_of_other_makes(pair: tuple[Model, Model]):
    op, twin = map(lstm, pair)
    assert "no operator" in str(fixed_codes(op, None))
    matrix = twin.input(3)
    several = Quantization(np.ones(UNITS, np.float32), np.zeros(UNITS, np.int64))
    shifted = Quantization(np.ones(1, np.float32), np.ones(1, np.int64))
    for scaling in (several, shifted, None):
        twin.inputs[3] = replace(matrix, quantization=scaling)
        assert "not int8 around zero with one scale" in str(fixed_codes(op, twin))
    twin.inputs[3] = matrix
    twin.inputs[13] = replace(twin.input(13), type=TensorType.INT16)
    assert "biases" in str(fixed_codes(op, twin))
    op.inputs[14] = replace(op.input(14), data=None)
    assert "float constants" in str(fixed_codes(op, twin))
