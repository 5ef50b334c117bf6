"""States of LSTMs have the scales that their int8 kernel takes for granted."""

from __future__ import annotations

from dataclasses import replace

import keras
import numpy as np
import pytest
import tf_keras

from converters.tflite.file import File
from converters.tflite.graph import Op
from tests.support.activation_cases import case_of, output_of, sqnr
from tests.support.recurrent_nets import DATA, recurrent
from tfmpq.activations.base import base_of
from tfmpq.activations.mend import mend_activations
from tfmpq.activations.recurrent.states import mend_states
from tfmpq.activations.subject import Case, Subject
from tfmpq.recipe.rules import Recipe, Rule


def lstms(file: File) -> list[Op]:
    return [op for op in file.graph.ops if op.name == "UNIDIRECTIONAL_SEQUENCE_LSTM"]


def decibels(case: Case, file: File) -> float:
    right = output_of(case.float_model.flatbuffer, case.data.held_out)
    return sqnr(right, output_of(file.content, case.data.held_out))


@pytest.fixture(scope="module")
def both_ways() -> Case:
    return case_of(recurrent(tf_keras, "bidirectional"), DATA)


def test_a_small_cell_state():
    model = recurrent(tf_keras, "stacked")
    upper = model.get_layer("upper")
    upper.set_weights([array * np.float32(0.5) for array in upper.get_weights()])
    case = case_of(model, DATA)
    assert lstms(case.stock)[1].input(19).scale < 2.0**-15
    assert decibels(case, case.stock) < 5  # the kernel's tanh of it is arbitrary: -7 dB measured
    done = mend_states(Subject(case.model), case)
    base = base_of(done, case)
    first, second = lstms(base)
    assert second.input(19).scale == 2.0**-15
    assert first.input(19).scale == lstms(case.stock)[0].input(19).scale
    assert decibels(case, base) > 22  # 8 bits of a state of +-0.2 or so; the one layer alone has 34
    assert any("tanh" in entry.why for entry in done.mended)


def test_two_directions(both_ways: Case):
    stock = {op.outputs[0].scale / op.input(18).scale for op in lstms(both_ways.stock)}
    assert max(stock) > 1.1  # what the kernel writes, and what the file says of it
    base = base_of(mend_states(Subject(both_ways.model), both_ways), both_ways)
    scales = {(t.scale, t.zero_point) for op in lstms(base) for t in (op.outputs[0], op.input(18))}
    turned = [op for op in base.graph.ops if op.name == "REVERSE_V2"][-1]
    scales |= {(t.scale, t.zero_point) for t in (turned.input(0), turned.outputs[0])}
    assert len(scales) == 1
    assert decibels(both_ways, base) > decibels(both_ways, both_ways.stock) + 10  # 16 -> 35 dB measured


def test_a_range_set_by_hand_is_that_of_the_state_too(both_ways: Case):
    (name,) = (op.outputs[0].name for op in both_ways.model.graph.ops if op.name == "CONCATENATION")
    ruled = replace(both_ways, recipe=Recipe([Rule(f"^{name}$", range=(-1.0, 1.55))]))
    base = mend_activations(ruled).base
    for op in lstms(base):
        assert op.input(18).scale == op.outputs[0].scale == pytest.approx(0.01, rel=1e-6)  # float32


def test_models_without_are_not_looked_at():
    keras.utils.set_random_seed(0)
    x = keras.Input((8,))
    case = case_of(keras.Model(x, keras.layers.Dense(4)(x)), np.ones((8, 8), np.float32))
    subject = Subject(case.model)
    assert mend_states(subject, case) is subject
