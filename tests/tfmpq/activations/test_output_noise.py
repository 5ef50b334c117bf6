"""Noise at the outputs of int8 files."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from tests.support.range_cases import case_of
from tfmpq.activations.output_noise import Outputs, gain_of, noises, read_outputs
from tfmpq.activations.subject import Case

keras = pytest.importorskip("keras")
layers = keras.layers


def case_with(end: Any) -> Case:
    keras.utils.set_random_seed(0)
    x = keras.Input((16,), name="x")
    y = layers.Dense(8, activation="relu", name="first")(x)
    return case_of(keras.Model(x, end(y)), np.random.default_rng(0).normal(size=(8, 16)).astype(np.float32))


def test_values_are_compared_as_they_are():
    case = case_with(layers.Dense(4, name="last"))
    float_outputs, int8 = (read_outputs(model, case.data.judge) for model in (case.model, case.stock.model))
    assert [float_outputs.probabilities, int8.probabilities] == [[False], [False]]
    found = noises(float_outputs, int8)
    values, wrong = (np.stack(outputs.values[0]) for outputs in (float_outputs, int8))
    expected = ((values - wrong) ** 2).mean(axis=(1, 2)) / values.var()
    np.testing.assert_allclose(found, expected)
    assert 1e-6 < found.mean() < 1e-2  # int8: 30 to 50 dB
    assert noises(float_outputs, float_outputs).max() < 1e-20


def test_probabilities_are_compared_before_they_are_rounded_to_256_steps():
    case = case_with(lambda y: layers.Softmax()(layers.Dense(4, name="last")(y) * 30.0))
    float_outputs, int8 = (read_outputs(model, case.data.judge) for model in (case.model, case.stock.model))
    assert float_outputs.probabilities == int8.probabilities == [True]
    assert max(np.abs(v).max() for v in float_outputs.values[0]) > 10  # logits
    shifted = Outputs([[v + 7 for v in float_outputs.values[0]]], [True])
    assert noises(float_outputs, shifted).max() < 1e-12
    assert 1e-6 < noises(float_outputs, int8).mean() < 1e-1


def test_outputs_that_are_no_numbers_are_left_out():
    case = case_with(lambda y: layers.Dense(4, name="last")(y) > 0)
    found = read_outputs(case.model, case.data.judge)
    assert list(found.values) == []


def test_gains_have_the_error_of_their_mean():
    gain = gain_of(np.array([1e-2, 1e-3]), np.array([1e-3, 1e-3]))
    assert (gain.before, gain.mean, gain.standard_error) == (pytest.approx(25), pytest.approx(5), pytest.approx(5))
    assert gain_of(np.array([1e-2]), np.array([1e-3])).standard_error == math.inf
