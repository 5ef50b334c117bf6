"""Which sums go along with an activation that is held as two."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("keras")

import keras

from converters.frontend.load import load_model
from converters.rewriting.two_points import holdable, step_of
from converters.runtime.interpreter import make_interpreter, run
from converters.tflite.reader import load
from converters.tflite.writer import save
from tests.support.outlier_nets import SHAPE, case_of
from tfmpq.activations.subject import Case, Subject
from tfmpq.activations.two_points.held import added_time, units, with_held
from tfmpq.activations.two_points.predicted import int8_time
from tfmpq.activations.values.excerpts import read_ranges, read_values


@pytest.fixture(scope="module")
def case() -> Case:
    return case_of("residual")


def _tensor(case: Case, layer: str) -> str:
    return next(name for name, called in case.layer_names.items() if called == layer)


def test_sums_are_carried_where_they_stay_small_but_for_the_rest(case: Case):
    names = [_tensor(case, layer) for layer in ("usual", "sum", "sum_0")]
    last = _tensor(case, "sum_1")
    samples = case.data.judge
    values, wholes = read_values(case.model, [*names, last], samples), read_ranges(case.model, names, lambda: samples)
    found = {case.called(unit.name): unit for unit in units(case.model, names, values, wholes)}
    # "usual" is added to what is large all the same: nothing would be gained, and only that sum reads it.
    assert "usual" not in found
    assert [case.called(name) for name in found["sum"].carried] == ["sum_0"]
    assert found["sum"].sums[last] is False  # reads both, but is not asked to be two
    assert list(found) == ["sum"]


def test_ranges_of_all_new_tensors_are_those_of_the_data(case: Case):
    name = _tensor(case, "sum")
    values, wholes = (
        read_values(case.model, [name], case.data.judge),
        read_ranges(case.model, [name], lambda: case.data.judge),
    )
    (unit,) = units(case.model, [name], values, wholes)
    subject = with_held(Subject(case.model), case, [unit])
    partial = [t.name for op in subject.model.graph.ops for t in op.outputs if t.name.endswith(("of_fine", "of_rest"))]
    assert len(partial) == 2
    measured = read_ranges(subject.model, partial, case.data.whole.originals)
    assert {n: subject.ranges[n] for n in partial} == measured
    assert subject.ranges[name] == pytest.approx(wholes[name], abs=0.2)


def test_time_is_that_of_the_operators_that_remain(case: Case):
    name = _tensor(case, "sum")
    values, wholes = (
        read_values(case.model, [name], case.data.judge),
        read_ranges(case.model, [name], lambda: case.data.judge),
    )
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
    ranges = read_ranges(model, [name, image.name], lambda: samples)
    assert ranges[name] == (values[name].min(), values[name].max())
    assert ranges[image.name] == tuple(f([s["image"] for s in samples]) for f in (np.min, np.max))


@pytest.mark.parametrize("ends", [False, True])
def test_a_sum_of_two_such_activations_goes_with_one_of_them(ends: bool):
    """It is held as two with that one, or, where an activation function ends it, by itself."""
    keras.utils.set_random_seed(0)
    layers = keras.layers
    image = keras.Input((4, 4, 8), name="image")
    first, second = (layers.Conv2D(8, 1, name=name)(image) for name in ("first", "second"))
    both = layers.Add(name="both")([first, second])
    both = layers.ReLU(name="end")(both) if ends else both
    read = [layers.Conv2D(4, 1, name=f"of_{i}")(x) for i, x in enumerate((first, second, both))]
    network = keras.Model(image, read)
    small = network.get_layer("second")
    small.set_weights([0.02 * w for w in small.get_weights()])  # in the sum, the other one's outliers are all there are
    loaded = load_model(network)
    model = load(loaded.flatbuffer)
    values = np.random.default_rng(0).normal(size=(8, 1, 4, 4, 8)).astype(np.float32)
    values[:, :, 0, 0] *= 40
    samples = [{"image": x} for x in values]
    names = [next(t for t in holdable(model) if f"/{name}_1/" in t) for name in ("first", "second", "both")]
    values, wholes = read_values(model, names, samples), read_ranges(model, names, lambda: samples)
    found = units(model, names, values, wholes)
    assert [unit.name for unit in found] == names[: 3 if ends else 2]
    assert [list(unit.sums) for unit in found][:2] == [[names[2]], []]
    held = model
    for unit in found:
        held = unit.within(held).model
    runs = [run(make_interpreter(save(m)), samples[0]) for m in (model, held)]
    for before, after in zip(*runs, strict=True):
        np.testing.assert_allclose(after, before, atol=1e-5)  # float32 sums in another order


def test_nothing_is_held_that_is_zero_or_that_no_layer_reads(case: Case):
    names = [_tensor(case, layer) for layer in ("rare", "sum")]
    values = read_values(case.model, names, case.data.judge)
    assert units(case.model, names[:1], values, read_ranges(case.model, names, lambda: case.data.judge)) == []
    assert units(case.model, names[1:], values, {names[1]: (0.0, 0.0)}) == []


def test_steps_are_no_smaller_than_kernels_take(case: Case):
    name = _tensor(case, "sum")
    values, wholes = (
        read_values(case.model, [name], case.data.judge),
        read_ranges(case.model, [name], lambda: case.data.judge),
    )
    (free,), (bound,) = (units(case.model, [name], values, wholes, {name: least}) for least in (0.0, 0.1))
    assert step_of(free.narrow) < 0.1 <= step_of(bound.narrow) < step_of(wholes[name])
    assert units(case.model, [name], values, wholes, {name: 1.0}) == []
    largest = max(
        t.scale for op in case.stock.graph.ops if op.outputs[0].name == name for t in op.inputs if t is not None
    )
    assert case.finest_step(name) == pytest.approx(largest / 200)  # of a sum: its larger operand's step
