"""Which loss and score a network is trained by, and labels that do not fit."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

from converters.errors import DataError, OptionError
from tests.support.keras_nets import separable, sequence, shared
from tfmpq.training.objective import Objective, objective_of

layers = keras.layers
NUMBERS = np.array([0, 2, 1, 2])
SHARES = np.eye(3, dtype=np.float32)[NUMBERS]


def ending(units: int, activation: str | None = None) -> Any:
    return keras.Sequential([keras.Input((4,)), layers.Dense(units, activation=activation)])


@pytest.mark.parametrize(
    ("model", "labels", "kind", "loss"),
    [
        (shared(), NUMBERS, "probabilities", "SparseCategoricalCrossentropy"),
        (shared(), NUMBERS[:, None], "probabilities", "SparseCategoricalCrossentropy"),
        (shared(), SHARES, "probabilities", "CategoricalCrossentropy"),
        (separable(), NUMBERS, "logits", "SparseCategoricalCrossentropy"),
        (sequence(), np.zeros((4, 32), np.int64), "logits", "SparseCategoricalCrossentropy"),
        (ending(1, "sigmoid"), NUMBERS % 2, "binary", "BinaryCrossentropy"),
        (ending(3, "sigmoid"), SHARES, "binary", "BinaryCrossentropy"),
        (ending(1), NUMBERS * 1.5, "values", "MeanSquaredError"),
        (ending(3), SHARES * 2, "values", "MeanSquaredError"),
    ],
)
def test_labels_and_the_end_say_the_loss(model: Any, labels: np.ndarray, kind: str, loss: str):
    objective = objective_of(model, labels, None)
    assert objective.kind == kind
    made = objective.loss()
    assert type(made).__name__ == loss
    taken = objective.checked(labels, "the data")
    outputs = np.random.default_rng(0).uniform(0.1, 0.9, (4, *(n or 32 for n in objective.shape))).astype(np.float32)
    assert np.isfinite(float(made(taken, outputs)))
    assert objective.score(outputs, taken).shape[0] == 4


def test_worse_is_more_than_what_chance_does():
    classes, values = Objective("probabilities", (10,), True), Objective("values", (1,), False)
    # Of 100 samples at 80 % the standard error is 4 points.
    assert [classes.is_worse(score, 0.8, 100) for score in (0.9, 0.8, 0.73, 0.71)] == [False, False, False, True]
    # Of 6 samples that were all right, one that is wrong now says nothing.
    assert [classes.is_worse(score / 6, 1.0, 6) for score in (5, 3)] == [False, True]
    assert [values.is_worse(score, 0.5, 100) for score in (0.4, 0.5, 0.6)] == [False, False, True]


def test_scores_count_what_is_right():
    right = np.eye(3)[NUMBERS]
    assert objective_of(shared(), NUMBERS, None).score(right, NUMBERS).tolist() == [1, 1, 1, 1]
    assert objective_of(shared(), SHARES, None).score(right[::-1], SHARES).tolist() == [0, 0, 0, 0]
    yes = Objective("binary_logits", (1,), False)
    assert yes.score(np.array([[0.3], [-0.3]]), np.array([[1.0], [1.0]])).ravel().tolist() == [1, 0]
    values = Objective("values", (1,), False)
    assert values.score(np.array([[3.0]]), np.array([[1.0]])).tolist() == [[4.0]]
    for objective, outputs in ((yes, np.array([[0.3], [-0.3]])), (values, np.array([[3.0]]))):
        assert objective.score(outputs, objective.predicted(outputs)).mean() == (objective.kind != "values")


@pytest.mark.parametrize(
    ("model", "labels", "message"),
    [
        (shared(), NUMBERS + 1, r"the data has the label 3; the model has 3 classes, whose numbers are 0 to 2"),
        (shared(), NUMBERS - 1, r"has the label -1"),
        (shared(), NUMBERS + 0.5, r"has the label 0\.5"),
        (shared(), NUMBERS.astype(str), r"the data has labels of type <U21, which are no real numbers"),
        (shared(), NUMBERS + 0j, r"labels of type complex128"),
        (shared(), np.full(4, np.nan), r"has the label nan"),
        (shared(), np.zeros((4, 5)), r"labels of shape \(5\) a sample, .* of shape \(3\) needs \(\)"),
        (shared(), SHARES / 2, r"some do not add up to 1"),
        (ending(1, "sigmoid"), NUMBERS, r"labels from 0 to 2; the output is probabilities"),
    ],
)
def test_labels_that_do_not_fit(model: Any, labels: np.ndarray, message: str):
    with pytest.raises(DataError, match=message):
        objective_of(model, labels, None).checked(labels, "the data")


def test_what_cannot_be_seen_is_asked():
    with pytest.raises(OptionError, match="ends in neither softmax nor sigmoid"):
        objective_of(ending(1), NUMBERS % 2, None)
    assert objective_of(ending(1), NUMBERS % 2, "binary_logits").kind == "binary_logits"
    with pytest.raises(OptionError, match="ends in neither softmax nor sigmoid"):
        objective_of(ending(3), None, None)
    entry = keras.Input((4,))
    two = keras.Model(entry, [layers.Dense(2)(entry), layers.Dense(2)(entry)])
    with pytest.raises(OptionError, match="has 2 outputs; the command trains models of one"):
        objective_of(two, NUMBERS, None)
