"""A post-training plan in Keras: the same integers and biases, and what is the plan of another model."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import tfmpq
from converters.errors import OptionError
from tests.support.keras_nets import NETS, data, separable, sequence
from tfmpq.keras.source import find_wrappers
from tfmpq.plan.layer_plan import Plan
from tfmpq.training.planned import planned_layers
from tfmpq.training.planned_student import student_of

MIXED = tfmpq.Recipe([tfmpq.Rule(".*", bits=4, max_points=2)])


def samples(x: np.ndarray) -> list[list[np.ndarray]]:
    return [[one[None]] for one in x]


def prepared(model: Any, x: np.ndarray) -> Any:
    return tfmpq.prepare(model, x, recipe=MIXED, sensitivity="energy", equalize="off", ranges="minmax", progress=False)


# By day normalizations of both signs, and layers that are used twice.
@pytest.mark.parametrize(
    "name", [n if n in ("separable", "shared") else pytest.param(n, marks=pytest.mark.nightly) for n in NETS]
)
def test_the_student_has_the_integers_of_the_file(name: str):
    model = NETS[name]()
    x = data(model)
    known = prepared(model, x)
    plan = known.finish(budget=tfmpq.ExtraBits(0.3), validate=False).plan
    planned, notes = planned_layers(model, samples(x), plan, progress=False)
    assert not notes
    student = student_of(model, samples(x), planned)
    wrappers = find_wrappers(student)
    assert set(wrappers) == set(planned)
    again = tfmpq.prepare(student, x, sensitivity="energy", progress=False)
    assert not again.notes
    given = {w.name: w for w in known.weighed}
    counts = []
    for weighed in again.weighed:
        first = given[weighed.name]
        wanted = first.weight(plan.layers[weighed.name].counts)
        found = weighed.weight(wanted.counts)
        for one, other in zip(found.points, wanted.points, strict=True):
            np.testing.assert_array_equal(one.codes, other.codes, err_msg=weighed.name)
        for number, (one, other) in enumerate(zip(found.points, wanted.points, strict=True)):
            used = (wanted.counts > number) & other.codes.any(axis=1)
            # float32: divided by the factor of the row and multiplied again.
            np.testing.assert_allclose(one.scale[used], other.scale[used], rtol=1e-5, err_msg=weighed.name)
        counts.extend(wanted.counts)
        # The normalization of "shared" is folded into its first use only; what "up" adds goes into "each".
        if name != "shared" and weighed.name not in ("up", "each"):
            wanted_bias = first.biases(wanted)[0]
            spread = np.abs(wanted_bias).max() + 1e-6
            np.testing.assert_allclose(
                weighed.layer.uses[0].bias, wanted_bias, atol=1e-4 * spread, err_msg=weighed.name
            )
    assert set(counts) == {1, 2}


def test_plans_of_other_models_and_other_things_are_refused():
    model, x = separable(), data(separable())
    whole = prepared(model, x).finish(validate=False)
    plan, other = whole.plan, sequence()
    with pytest.raises(OptionError, match=r"has a layer 'stem', and model 'sequence' has none.*'conv', 'depthwise'"):
        planned_layers(other, samples(data(other)), plan, progress=False)
    short = replace(plan.layers["stem"], counts=plan.layers["stem"].counts[:3])
    with pytest.raises(OptionError, match="the plan has 3 rows for layer 'stem', and the model has 8"):
        planned_layers(model, samples(x), Plan({**plan.layers, "stem": short}), progress=False)
    wrong: Any = {"stem": 4}
    with pytest.raises(OptionError, match=r"plan is a dict; give the result of tfmpq\.convert"):
        planned_layers(model, samples(x), wrong, progress=False)
    dynamic = replace(whole, report=replace(whole.report, activations="float"))
    with pytest.raises(OptionError, match="the plan is one for float activations"):
        planned_layers(model, samples(x), dynamic, progress=False)


def test_the_plan_of_a_tflite_file_is_said_to_be_one():
    model = separable()
    x = data(model)
    content = prepared(model, x).network.float_model.flatbuffer
    plan = prepared(content, x).finish(budget=tfmpq.ExtraBits(0.3), validate=False).plan
    with pytest.raises(
        OptionError,
        match=r"none of the 4 layers of the plan, such as '.*', is called as .*from a \.tflite file.*'stem'",
    ):
        planned_layers(model, samples(x), plan, progress=False)
