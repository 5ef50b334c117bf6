"""Scales that are trained as ratios: what optimizers make of them."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfmpq.training.scales import LearnedScale


def scale(start: Any, **options: Any) -> tuple[Any, LearnedScale]:
    owner = keras.layers.Layer()
    made = LearnedScale(owner, "scale", None if np.ndim(start) == 0 else len(start), **options)
    made.start(start)
    return owner, made


def updated(owner: Any, made: LearnedScale, optimizer: Any) -> np.ndarray:
    """After one update for the loss 3 * sum(scale)."""
    with tf.GradientTape() as tape:
        loss = 3.0 * tf.reduce_sum(made.tensor())
    variables = owner.trainable_variables
    optimizer.apply(tape.gradient(loss, [v.value for v in variables]), variables)
    return made.value()


@pytest.mark.parametrize("start", [0.02, [0.02, 5.0]])
def test_gradient_descent_changes_the_scale_as_if_it_were_the_variable(start: Any):
    owner, made = scale(start)
    found = updated(owner, made, keras.optimizers.SGD(1e-3))
    np.testing.assert_allclose(found, np.asarray(start) - 3e-3, rtol=1e-5)


def test_adam_changes_all_scales_by_the_same_share():
    owner, made = scale([0.02, 5.0])
    found = updated(owner, made, keras.optimizers.Adam(1e-2))
    np.testing.assert_allclose(found, [0.02 * 0.99, 5.0 * 0.99], rtol=1e-4)


def test_scales_stay_positive():
    owner, made = scale([0.5, 0.0])
    assert (made.value() > 0).all()
    assert (updated(owner, made, keras.optimizers.SGD(100.0)) > 0).all()
    np.testing.assert_array_equal(np.asarray(made.tensor()), made.value())


def test_scales_that_are_not_learned_are_no_trainable_variables():
    owner, _ = scale(0.5, learn=False)
    assert not owner.trainable_variables
