"""A training in the common case: the same every time, no epoch chosen, options out of range."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from converters.errors import ModelError, OptionError
from tests.support.keras_nets import data, separable
from tfmpq.data.evaluation_set import Labelled
from tfmpq.keras.source import find_wrappers
from tfmpq.training.course import METHODS, Course, Trained, rate_schedule, score_of, train
from tfmpq.training.examples import of_arrays, specs_of
from tfmpq.training.objective import objective_of


def course(course: Course, *, labelled: bool = True) -> Trained:
    model, x = separable(), data(separable())
    labels = np.asarray(model(x)).argmax(axis=-1)
    objective = objective_of(model, labels, "logits")
    whole = Labelled({"image": x}, labels)
    rows = np.arange(24)
    examples = of_arrays(
        whole if labelled else Labelled(whole.inputs, None), rows, specs_of(model), batch_size=8, seed=course.seed
    )
    held = Labelled({"image": x[24:]}, labels[24:])
    assert score_of(model, held, objective) == 1
    return train(model, examples, held, objective, course, verbose=0)


def variables(trained: Trained) -> list[np.ndarray]:
    return [np.asarray(v) for v in trained.model.variables]


def test_the_same_seed_gives_the_same_bits_and_the_last_epoch_is_kept():
    chosen = Course("lg_lsq", bits=2, activation_bits=2, epochs=2, rounding="stochastic", learning_rate=0.01)
    one, other = course(chosen), course(chosen)
    for first, second in zip(variables(one), variables(other), strict=True):
        np.testing.assert_array_equal(first, second)
    assert one.before is not None
    assert one.after is not None
    assert {w.quantizer.bits for w in find_wrappers(one.model).values()} == {2, 8}


@pytest.mark.nightly  # by day: test_quiet_prints_nothing of the command trains without labels
def test_without_labels_the_teacher_is_all_there_is():
    trained = course(Course("lg_lsq", bits=3, epochs=4, teacher=1, learning_rate=0.01), labelled=False)
    assert trained.after is not None
    assert trained.before is not None
    assert trained.after >= trained.before


# By day those that test_taught.py does not train then.
@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "teacher"),
    [
        pytest.param(*case, marks=[pytest.mark.nightly] if case[0] in ("lg_lsq", "differentiable") else [])
        for case in zip(METHODS, itertools.cycle((0.0, 0.7)), strict=False)
    ],
)
def test_every_method_comes_to_its_end(method: Any, teacher: float):
    trained = course(Course(method, epochs=4, teacher=teacher, integer_bits=1, activation_bits=4))
    norms = [layer.norm for layer in find_wrappers(trained.model).values() if layer.norm is not None]
    assert norms
    # INQ ends with all weights frozen: something is to be left that learns.
    assert {norm.trainable for norm in norms} == {method in ("inq", "ttq")}
    assert trained.after is not None
    assert (trained.before is None) == (method == "inq")  # whose weights are float before
    assert not any(wrapper.quantizer.unfinished() for wrapper in find_wrappers(trained.model).values())


def test_the_rate_falls_to_0_and_starts_anew_with_each_portion_of_inq():
    usual, portions = rate_schedule("lg_lsq", 5, 0.5, 40), rate_schedule("inq", 5, 0.5, 40)
    found = np.array([[float(schedule(step)) for step in range(40)] for schedule in (usual, portions)])
    assert found[0, 0] == 0.5
    assert (np.diff(found[0]) < 0).all()
    assert found[0, -1] < 0.01
    np.testing.assert_allclose(found[1].reshape(4, 10), np.tile(found[1, :10], (4, 1)), atol=1e-6)  # float32 phases
    assert found[1, 9] < 0.02 < found[1, 10] == 0.5
    assert float(rate_schedule("inq", 3, 0.5, 40)(5)) == 0.5  # eight portions


@pytest.mark.nightly  # by day: that message of `tfmpq train`, and the guard itself in test_callbacks.py
def test_a_loss_that_is_no_number_is_the_guards():
    with pytest.raises(ModelError, match=r"training stopped in epoch 1, batch \d: the loss is .*; layer 'project' got"):
        course(Course("lg_lsq", epochs=1, learning_rate=1e30))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "adaround"}, r"method='adaround': give one of lg_lsq, ttq"),
        ({"method": "lg_lsq", "bits": 1}, r"lg_lsq: bits=1 is out of range; give a whole number from 2 to 8"),
        ({"method": "inq", "bits": 6}, r"inq: bits=6 is out of range; give a whole number from 2 to 5"),
        ({"method": "ttq", "bits": 3}, r"ttq: bits=3: it has 2 bits always; leave bits out"),
        ({"method": "limited_precision", "bits": 4, "integer_bits": 5}, r"integer_bits=5 is out of range"),
        ({"method": "lg_lsq", "activation_bits": 1}, r"activation_bits=1 is out of range"),
        ({"method": "lg_lsq", "rounding": "up"}, r"rounding='up'"),
        ({"method": "lg_lsq", "epochs": 0}, r"epochs=0 is out of range"),
        ({"method": "lg_lsq", "learning_rate": 0}, r"learning_rate=0 is out of range"),
        ({"method": "lg_lsq", "teacher": 2}, r"teacher=2 is out of range"),
    ],
)
def test_options_out_of_range(options: dict[str, Any], message: str):
    with pytest.raises(OptionError, match=message):
        Course(**options)
