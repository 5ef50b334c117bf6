"""Trained ranges: of a tensor where nothing else reads it, else of the layer's own input."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

from tests.support.activation_cases import case_of
from tfmpq.activations.base import base_of
from tfmpq.activations.ranges.trained import take_trained
from tfmpq.activations.subject import Case, RowFormat, Subject
from tfmpq.simulation.source import InputCodes

DATA = np.random.default_rng(0).normal(size=(16, 8, 8, 3)).astype(np.float32)
SPAN = (-24.0, 1.5)


def pooled(pool: Any) -> Any:
    """A layer that reads what was pooled."""
    x = keras.Input((8, 8, 3), name="image")
    y = pool(layers.Conv2D(4, 3, activation="relu", name="stem")(x))
    return keras.Model(x, layers.Conv2D(4, 1, name="reader")(y))


def branched() -> Any:
    """Two layers that read one activation."""
    x = keras.Input((8, 8, 3), name="image")
    y = layers.Conv2D(4, 3, activation="relu", name="stem")(x)
    return keras.Model(x, [layers.Conv2D(4, 1, name=name)(y) for name in ("left", "right")])


def trained(model: Any, spans: list[Any]) -> tuple[Subject, Case]:
    """With ranges for the inputs of all layers but the first."""
    keras.utils.set_random_seed(0)
    case = case_of(model, DATA)
    read = [op.outputs[0].name for op in case.model.graph.ops if op.name == "CONV_2D"][1:]
    rows = {
        name: RowFormat(4, True, span if isinstance(span[0], tuple) else (span,))
        for name, span in zip(read, spans, strict=True)
    }
    case = replace(case, rows=rows)
    return take_trained(Subject(case.model), case), case


def scalings(subject: Subject, case: Case) -> list[tuple[float, int]]:
    ops = [op for op in base_of(subject, case).graph.ops if op.name == "CONV_2D"]
    return [(op.input(0).scale, op.input(0).zero_point) for op in ops[1:]]


@pytest.mark.parametrize("pool", [layers.MaxPooling2D(), layers.ReLU(max_value=6)])
def test_a_tensor_that_only_trained_layers_read_has_the_range_itself(pool: Any):
    subject, case = trained(pooled(pool), [SPAN])
    assert not subject.requantized
    assert list(subject.ranges.values()) == [SPAN]
    assert scalings(subject, case) == [(pytest.approx(0.1), 112)]
    assert len(base_of(subject, case).graph.ops) == len(case.stock.graph.ops)
    assert subject.mended[-1].where == "inputs of 1 layer"


def test_averages_are_taken_before_rounding():
    subject, case = trained(pooled(layers.AveragePooling2D(2)), [SPAN])
    assert not subject.ranges
    assert len(subject.requantized) == 1
    assert scalings(subject, case) == [(pytest.approx(0.1), 112)]


def test_layers_with_ranges_of_their_own_have_an_add_each():
    subject, case = trained(branched(), [SPAN, SPAN])
    assert not subject.requantized
    subject, case = trained(branched(), [SPAN, (0.0, 2.55)])
    assert not subject.ranges
    assert scalings(subject, case) == [(pytest.approx(0.1), 112), (pytest.approx(0.01), -128)]
    assert "2 layers behind an ADD that rescales" in subject.mended[-1].why


@pytest.mark.parametrize("shared", [False, True])
def test_signed_values_of_few_bits_are_clipped_at_both_sides(shared: bool):
    codes = InputCodes(0.1, -3, 3)
    subject, case = trained(
        branched() if shared else pooled(layers.MaxPooling2D()), [codes.int8_ranges(), SPAN][: 1 + shared]
    )
    graph = base_of(subject, case).graph
    zeros = [op for op in graph.ops if op.name == "ADD"]
    assert len(zeros) == (3 if shared else 1)
    first, second = scalings(subject, case)[0], zeros[1 if shared else 0]
    assert first == (pytest.approx(0.1), -125)
    assert (second.input(0).scale, second.input(0).zero_point) == (pytest.approx(0.1), 124)


def test_models_without_trained_ranges_stay_as_they_are():
    case = case_of(branched(), DATA)
    subject = Subject(case.model)
    assert take_trained(subject, case) is subject


def test_what_layers_hand_on_has_the_range_that_was_simulated():
    case = case_of(branched(), DATA)
    read = [op.outputs[0].name for op in case.model.graph.ops if op.name == "CONV_2D"][1:]
    span = (0.0, 5.1)
    case = replace(case, rows={read[0]: RowFormat(4, True, (SPAN,))}, handed_on={"stem": span, "elsewhere": span})
    subject = take_trained(Subject(case.model), case)
    assert list(subject.ranges.values()) == [span]
    # One layer reads it at its own step, the other one as it is.
    assert set(subject.requantized) == {read[0]}
    assert scalings(subject, case) == [(pytest.approx(0.1), 112), (pytest.approx(0.02), -128)]
    assert subject.mended[-1].where == "1 activation"
    alone = replace(case, rows={})
    assert scalings(take_trained(Subject(case.model), alone), alone) == [(pytest.approx(0.02), -128)] * 2
