"""Ranges of values whose effect saturates are narrowed where nothing else sees them, and int8 gains by it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers, ops

from tests.support.activation_cases import case_of, output_of, sqnr
from tests.support.masked_nets import masked
from tfmpq.activations import mend
from tfmpq.activations.ranges.saturation import mend_saturation
from tfmpq.activations.subject import Subject
from tfmpq.activations.values.inner_values import inner_values

RandomNormal: Any = keras.initializers.RandomNormal
DATA = np.random.default_rng(0).normal(size=(64, 16)).astype(np.float32)


def logits(scale: float, activation: str, *, also: str | None = None) -> Any:
    """A layer of logits of standard deviation ``scale``, its activation, and what else reads them."""
    keras.utils.set_random_seed(0)
    given = keras.Input((16,), name="given")
    x = layers.Dense(24, name="logits", kernel_initializer=RandomNormal(stddev=scale / 4))(given)
    if also == "product":
        return keras.Model(given, ops.sigmoid(x) * x)
    y = layers.Activation(activation)(x)
    return keras.Model(given, [y, x] if also == "output" else y)


@pytest.mark.parametrize("activation", ["sigmoid", "tanh"])
def test_logits_that_saturate(activation: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(mend, "_STEPS", [mend_saturation])
    case = case_of(logits(25.0, activation), DATA)
    done = mend.mend_activations(case)
    ((_, (low, high)),) = done.subject.ranges.items()
    assert -16 < low < -1 < 1 < high < 16  # of some +-80
    (entry,) = done.subject.mended
    assert entry.before_db is not None
    assert entry.after_db is not None
    right = output_of(case.float_model.flatbuffer, case.data.held_out)
    stock, base = (sqnr(right, output_of(file.content, case.data.held_out)) for file in (case.stock, done.base))
    # The figures of the entry are of this tensor's noise alone; weights, inputs and outputs add theirs.
    assert entry.after_db - entry.before_db > 10
    assert base - stock > 3


def test_scores_of_a_softmax():
    case = case_of(*masked("selected", -60.0))
    done = mend_saturation(Subject(case.model), case)
    ((name, (low, high)),) = done.ranges.items()
    (scores,) = (t for op in case.model.graph.ops for t in op.outputs if t.name == name)
    runs = [run[scores] for run in inner_values(case.model, [scores], case.data.fit())]
    assert high == max(run.max() for run in runs[:16])
    lowest = min(run.max(-1).min() for run in runs[:16])
    assert -20 < low < lowest - np.log(256)  # where nothing is left of what is masked


@pytest.mark.parametrize(("scale", "also"), [(25.0, "product"), (25.0, "output"), (0.3, None)])
def test_what_is_left_alone(scale: float, also: str | None):
    case = case_of(logits(scale, "sigmoid", also=also), DATA)
    assert mend_saturation(Subject(case.model), case).ranges == {}


def test_a_range_that_is_set_stays():
    case = case_of(logits(25.0, "sigmoid"), DATA)
    (name,) = mend_saturation(Subject(case.model), case).ranges
    assert mend_saturation(Subject(case.model, {name: (-3.0, 3.0)}), case).ranges == {name: (-3.0, 3.0)}


def test_ranges_of_all_that_the_data_reach_stay():
    case = case_of(logits(25.0, "sigmoid"), DATA)
    subject = Subject(case.model)
    assert mend_saturation(subject, replace(case, options=replace(case.options, ranges="minmax"))) is subject


def test_values_that_are_averaged_before_they_saturate_are_left_alone():
    keras.utils.set_random_seed(0)
    given = keras.Input((8, 8, 3), name="given")
    x = layers.Conv2D(6, 3, kernel_initializer=RandomNormal(stddev=9))(given)
    y = layers.Activation("sigmoid")(layers.AveragePooling2D(2)(x))
    case = case_of(keras.Model(given, y), np.random.default_rng(0).normal(size=(40, 8, 8, 3)).astype(np.float32))
    assert mend_saturation(Subject(case.model), case).ranges == {}
