"""Operands that an operator overwrites get the range of their own values."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

from tests.support.activation_cases import case_of
from tfmpq.activations import mend
from tfmpq.activations.ranges.overwritten import mend_overwritten
from tfmpq.activations.subject import Subject
from tfmpq.activations.values.excerpts import read_ranges
from tfmpq.activations.values.inner_values import inner_values

RandomNormal: Any = keras.initializers.RandomNormal
DATA = np.random.default_rng(0).normal(size=(40, 8, 8, 6)).astype(np.float32)


def residual(branch: float) -> keras.Model:
    """A sum with a branch whose values are ``branch`` times those of what it is added to."""
    keras.utils.set_random_seed(0)
    given = keras.Input((8, 8, 6), name="given")
    x = layers.Conv2D(8, 1, name="trunk")(given)
    y = layers.Conv2D(8, 1, name="branch", kernel_initializer=RandomNormal(stddev=branch))(x)
    return keras.Model(given, layers.Conv2D(4, 3, name="head")(x + y))


def test_a_small_branch_has_its_own_range(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(mend, "_STEPS", [mend_overwritten])
    case = case_of(residual(0.02), DATA)
    (branch,) = (t for op in case.model.graph.ops for t in op.outputs if "branch" in t.name)
    values = np.concatenate([run[branch] for run in inner_values(case.model, [branch], case.data.whole.originals())])
    done = mend.mend_activations(case)
    assert done.subject.measured is not None
    assert done.subject.measured[branch.name] == (values.min(), values.max())
    (entry,) = done.subject.mended
    assert (entry.kind, entry.where) == ("range", "branch")
    scales = [next(t.scale for t in f.graph.tensors() if t.name == branch.name) for f in (case.stock, done.base)]
    assert scales[1] == pytest.approx((values.max() - values.min()) / 255, rel=1e-5)
    assert scales[0] > 4 * scales[1]  # TensorFlow's calibrator still does it: else this step has outlived its use


def test_ranges_that_are_right_stay():
    keras.utils.set_random_seed(0)
    given = keras.Input((8, 8, 6), name="given")
    x = layers.Conv2D(8, 1)(given)
    # The sum overwrites nothing that it does not stretch by itself: its other operand is read once more.
    for model in (keras.Model(given, layers.Conv2D(4, 3)(x)), keras.Model(given, layers.Concatenate()([x * x, x]))):
        case = case_of(model, DATA)
        subject = Subject(case.model)
        done = mend_overwritten(subject, case)
        assert done.mended == ()
        assert done.measured in (None, case.measured)


def test_ranges_of_rewritten_models_are_their_own(monkeypatch: pytest.MonkeyPatch):
    case = case_of(residual(0.02), DATA)
    monkeypatch.setattr("tfmpq.activations.base.measured_twin", None)  # takes several times as long
    done = mend_overwritten(Subject(case.model.clone().model), case)
    assert done.exact
    expected = read_ranges(case.model, list(case.measured or {}), case.data.whole.originals)
    assert done.measured == expected
    (branch,) = (t.name for op in case.model.graph.ops for t in op.outputs if "branch" in t.name)
    assert case.measured is not None
    assert case.measured[branch][1] > 4 * expected[branch][1]
