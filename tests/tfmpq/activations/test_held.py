"""Which sums go along with an activation that is held as two."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("keras")

from converters.tflite.reader import load
from tests.support.outlier_nets import SHAPE, case_of
from tfmpq.activations.held import added_time, units, with_held
from tfmpq.activations.predicted import int8_time
from tfmpq.activations.subject import Case, Subject
from tfmpq.activations.values import read_ranges, read_values


@pytest.fixture(scope="module")
def case() -> Case:
    return case_of("residual")


def _tensor(case: Case, layer: str) -> str:
    return next(name for name, called in case.layer_names.items() if called == layer)


def test_sums_are_carried_where_they_stay_small_but_for_the_rest(case: Case):
    names = [_tensor(case, layer) for layer in ("usual", "sum", "sum_0")]
    last = _tensor(case, "sum_1")
    samples = case.data.judge
    values, wholes = read_values(case.model, [*names, last], samples), read_ranges(case.model, names, samples)
    found = {case.called(unit.name): unit for unit in units(case.model, names, values, wholes)}
    # "usual" is added to what is large all the same: nothing would be gained, and only that sum reads it.
    assert "usual" not in found
    assert [case.called(name) for name in found["sum"].carried] == ["sum_0"]
    assert found["sum"].sums[last] is False  # reads both, but is not asked to be two
    assert list(found) == ["sum"]


def test_ranges_of_all_new_tensors_are_those_of_the_data(case: Case):
    name = _tensor(case, "sum")
    values, wholes = read_values(case.model, [name], case.data.judge), read_ranges(case.model, [name], case.data.judge)
    (unit,) = units(case.model, [name], values, wholes)
    subject = with_held(Subject(case.model), case, [unit])
    partial = [t.name for op in subject.model.graph.ops for t in op.outputs if t.name.endswith(("of_fine", "of_rest"))]
    assert len(partial) == 2
    measured = read_ranges(subject.model, partial, case.data.whole.originals())
    assert {n: subject.ranges[n] for n in partial} == measured
    assert subject.ranges[name] == pytest.approx(wholes[name], abs=0.2)


def test_time_is_that_of_the_operators_that_remain(case: Case):
    name = _tensor(case, "sum")
    values, wholes = read_values(case.model, [name], case.data.judge), read_ranges(case.model, [name], case.data.judge)
    (unit,) = units(case.model, [name], values, wholes)
    added = added_time(Subject(case.model), unit, case)
    assert 0 < added < 0.5  # one 1x1 layer of six, and sums
    held = unit.within(case.model)
    assert (
        int8_time(held.model, case.target) > int8_time(held.model, case.target, but=held.idle) + 0.2
    )  # clips are slow


def test_values_and_ranges_of_inputs_and_inner_tensors(case: Case):
    model = load(case.float_model.flatbuffer)
    (image,) = model.graph.inputs
    name = _tensor(case, "pool")
    samples = case.data.judge[:2]
    values = read_values(model, [image.name, name], samples)
    assert values[image.name].shape == (2 * SHAPE[0] * SHAPE[1], SHAPE[2])
    np.testing.assert_array_equal(values[image.name][:64], samples[0]["image"].reshape(64, 8))
    ranges = read_ranges(model, [name, image.name], samples)
    assert ranges[name] == (values[name].min(), values[name].max())
    assert ranges[image.name] == tuple(f([s["image"] for s in samples]) for f in (np.min, np.max))
