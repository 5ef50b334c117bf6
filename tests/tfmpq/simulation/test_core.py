"""The TensorFlow operation: values of the NumPy algorithm, gradients as if it were not there."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from converters.errors import OptionError
from tfmpq.simulation import SimulationSettings
from tfmpq.simulation import core as simulation
from tfmpq.simulation.core import SimulatedWeight, fold_sign
from tfmpq.simulation.points import simulate

SETTINGS = SimulationSettings(bits=3, share=0.5)
WEIGHT = np.random.default_rng(0).standard_t(4, (3, 3, 5, 8)).astype(np.float32)
GAMMA = np.array([1, -1, 0.5, -2, 0, 3, -0.1, 1], np.float32)


@pytest.mark.parametrize("graph", [False, True])
@pytest.mark.parametrize("signed", [False, True])
def test_values(graph: bool, signed: bool):
    simulated = SimulatedWeight(SETTINGS, (-1,))
    variable = tf.Variable(tf.constant(WEIGHT))
    sign = fold_sign(GAMMA) if signed else None

    def call() -> Any:
        return simulated(variable, sign)

    result = (tf.function(call) if graph else call)()
    expected = simulate(WEIGHT, (-1,), SETTINGS, np.where(GAMMA < 0, -1.0, 1.0) if signed else None)
    np.testing.assert_array_equal(result, expected)
    variable.assign(2.5 * WEIGHT)  # as a training step would: nothing old may come back
    result = (tf.function(call) if graph else call)()
    assert not np.array_equal(result, expected)


def test_gradients():
    variable, gamma = tf.Variable(tf.constant(WEIGHT)), tf.Variable(tf.constant(GAMMA))
    simulated = SimulatedWeight(SETTINGS, (-1,))
    upstream = np.random.default_rng(1).normal(size=WEIGHT.shape).astype(np.float32)

    @tf.function
    def gradients() -> Any:
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(simulated(variable, fold_sign(gamma)) * upstream)
        return tape.gradient(loss, [variable, gamma])

    to_weight, to_gamma = gradients()
    np.testing.assert_array_equal(to_weight, upstream)
    assert to_gamma is None


def test_unchanged_weights_are_not_computed_again(monkeypatch: pytest.MonkeyPatch):
    calls = []
    monkeypatch.setattr(simulation, "simulate", lambda *arguments: calls.append(1) or simulate(*arguments))
    simulated = SimulatedWeight(SETTINGS, (-1,))
    variable = tf.Variable(tf.constant(WEIGHT))
    for _ in range(3):
        first = simulated(variable)
    assert len(calls) == 1
    other_sign = simulated(variable, fold_sign(GAMMA))
    assert len(calls) == 2
    assert not np.array_equal(first, other_sign)
    variable[0, 0, 0, 0].assign(7.0)
    assert not np.array_equal(simulated(variable, fold_sign(GAMMA)), other_sign)


def test_divergence_shows():
    weight = WEIGHT.copy()
    weight[0, 0, 0, 0] = np.nan
    np.testing.assert_array_equal(SimulatedWeight(SETTINGS, (-1,))(weight), weight)


def test_settings_of_another_layer():
    with pytest.raises(OptionError, match="points lists 3 channels, but the weight has 8"):
        SimulatedWeight(SimulationSettings(points=(1, 2, 1)), (-1,))(WEIGHT)
