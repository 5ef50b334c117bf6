"""Quantized distillation: the loss against NumPy, with every method, and what is refused."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

import tfmpq.training as training
from converters.errors import DataError, ModelError, OptionError
from tests.support.keras_nets import data, separable, sequence
from tests.support.trained_nets import METHODS, optimizer
from tfmpq.keras.source import find_wrappers
from tfmpq.training.soft_targets import soft_loss


def log_softmax(scores: np.ndarray) -> np.ndarray:
    wide = scores.astype(np.float64)
    wide = wide - wide.max(-1, keepdims=True)
    return wide - np.log(np.exp(wide).sum(-1, keepdims=True))


def divergence(teacher: np.ndarray, student: np.ndarray, temperature: float) -> float:
    p, q = (log_softmax(scores / temperature) for scores in (teacher, student))
    return float(temperature**2 * (np.exp(p) * (p - q)).sum(-1).mean())


def test_the_loss_is_that_of_the_paper():
    model, x = separable(), data(separable())
    labels = np.random.default_rng(2).integers(0, 4, len(x))
    student = training.lg_lsq(model, x, bits=2, start="magnitudes")
    both = training.with_teacher(student, model, outputs="logits")
    both.compile(loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True), jit_compile=False)
    found = both.evaluate(x, labels, batch_size=len(x), verbose=0)
    own, float_outputs = np.asarray(student(x)), np.asarray(model(x))
    entropy = -log_softmax(own)[np.arange(len(x)), labels].mean()
    wanted = 0.7 * divergence(float_outputs, own, 2.0) + 0.3 * entropy
    assert wanted > 0.3 * entropy > 0
    assert found == pytest.approx(wanted, rel=1e-5)  # float32


def test_probabilities_count_by_their_logarithms():
    generator = np.random.default_rng(0)
    teacher, student = generator.normal(0, 2, (2, 6, 5))
    scores = [np.exp(log_softmax(s)).astype(np.float32) for s in (teacher, student)]
    found = soft_loss([scores[0]], [scores[1]], ["probabilities"], 3.0)
    assert float(found) == pytest.approx(divergence(teacher, student, 3.0), rel=1e-4)
    # No probability is so small that the loss is no number.
    sure = np.eye(3, dtype=np.float32)
    assert np.isfinite(float(soft_loss([sure], [sure[::-1]], ["probabilities"], 1.0)))


def test_values_count_in_units_of_the_teachers():
    teacher, student = np.random.default_rng(0).normal(size=(2, 4, 3)).astype(np.float32)
    wanted = np.square(teacher - student).mean() / np.square(teacher).mean()
    for unit in (1.0, 100.0):
        found = soft_loss([unit * teacher], [unit * student], ["values"], 2.0)
        assert float(found) == pytest.approx(wanted, rel=1e-4)


def test_yes_and_no_count_unit_by_unit_and_by_their_logits():
    teacher, student = np.random.default_rng(0).normal(0, 2, (2, 6, 5))
    p, q = (1 / (1 + np.exp(-scores / 3)) for scores in (teacher, student))
    wanted = 9 * (p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q))).mean()
    scores = [teacher.astype(np.float32), student.astype(np.float32)]
    assert float(soft_loss(scores[:1], scores[1:], ["binary_logits"], 3.0)) == pytest.approx(wanted, rel=1e-5)
    shares = [(1 / (1 + np.exp(-values))).astype(np.float32) for values in (teacher, student)]
    # The logits of probabilities near 1 have lost digits of float32.
    assert float(soft_loss(shares[:1], shares[1:], ["binary"], 3.0)) == pytest.approx(wanted, rel=1e-4)
    sure = np.eye(3, dtype=np.float32)
    assert np.isfinite(float(soft_loss([sure], [sure[::-1]], ["binary"], 1.0)))


def test_every_output_has_the_loss_of_its_kind():
    teacher, student = np.random.default_rng(0).uniform(0.1, 0.9, (2, 4, 3)).astype(np.float32)
    both = soft_loss([teacher, teacher], [student, student], ["binary", "values"], 2.0)
    each = [float(soft_loss([teacher], [student], [kind], 2.0)) for kind in ("binary", "values")]
    assert float(both) == pytest.approx(sum(each) / 2, rel=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize(
    "method",
    # The others, and by day the last two: test_course.py.
    ["w4a4", "levels", *(pytest.param(method, marks=pytest.mark.nightly) for method in ("inq5", "fixed"))],
)
def test_methods_learn_from_a_teacher(method: str):
    model, x = separable(), data(separable())
    student = METHODS[method](model, x)
    both = training.with_teacher(student, model, share=1, outputs="logits")
    teacher = [np.asarray(v).copy() for v in model.variables]
    both.compile(optimizer(method, 3e-3), jit_compile=False)
    keras.utils.set_random_seed(0)
    losses = both.fit(x, epochs=8, batch_size=8, verbose=0, callbacks=training.callbacks(student)).history["loss"]
    assert np.isfinite(losses).all()
    if not method.startswith("inq"):  # which becomes coarser from epoch to epoch
        assert min(losses[-2:]) < losses[0]
    for before, after in zip(teacher, model.variables, strict=True):
        np.testing.assert_array_equal(before, np.asarray(after))
    assert find_wrappers(student)


def test_bad_input():
    model, x = separable(), data(separable())
    student = training.lg_lsq(model, x, start="magnitudes")
    with pytest.raises(OptionError, match=r"share=1\.5 is out of range"):
        training.with_teacher(student, model, share=1.5)
    with pytest.raises(OptionError, match="temperature=0 is out of range"):
        training.with_teacher(student, model, temperature=0)
    wrong: Any = "scores"
    with pytest.raises(OptionError, match="outputs='scores'"):
        training.with_teacher(student, model, outputs=wrong)
    with pytest.raises(ModelError, match=r"'separable' has inputs of shapes \(8, 8, 3\), and its teacher 'sequence'"):
        training.with_teacher(student, sequence())
    with pytest.raises(OptionError, match=r"with_teacher: output 'classifier' ends in neither softmax nor sigmoid"):
        training.with_teacher(student, model)
    both = training.with_teacher(student, model, outputs="values")
    both.compile("adam", "mse", jit_compile=False)
    with pytest.raises(DataError, match=r"fit got no labels, but the loss has a share of 0.3"):
        both.fit(x, verbose=0)
