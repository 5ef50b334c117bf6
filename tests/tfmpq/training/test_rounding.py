"""Rounding that is right on average."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from converters.errors import OptionError
from tfmpq.training.rounding import check_rounding, rounded


def test_to_the_nearest_ties_to_even():
    np.testing.assert_array_equal(rounded(tf.constant([0.5, 1.5, -0.5, 2.4, -2.6]), None), [0, 2, 0, 2, -3])


@pytest.mark.parametrize("value", [0.0, 0.1, 0.5, 2.9, -0.3, -7.75])
def test_stochastic_rounding_is_unbiased(value: float):
    count = 100_000
    noise = tf.random.stateless_uniform([count], (1, 2))
    found = rounded(tf.fill([count], value), noise).numpy()
    assert set(found) <= {np.floor(value), np.floor(value) + 1}
    # A result is one of two neighbours, so its variance is f (1 - f) for the fraction f, and that of the mean of n
    # f (1 - f) / n: within 5 standard deviations but for one draw in two million. The seed is fixed.
    fraction = value - np.floor(value)
    assert abs(found.mean(dtype=np.float64) - value) <= 5 * np.sqrt(fraction * (1 - fraction) / count) + 1e-6


@pytest.mark.parametrize("rounding", ["up", None, 1, ["nearest"]])
def test_other_ways_are_refused(rounding: object):
    with pytest.raises(OptionError, match=r"give 'nearest' or 'stochastic'"):
        check_rounding(rounding)


@pytest.mark.parametrize("seed", [-1, None, 0.5, True, 2**31])
def test_other_seeds_are_refused(seed: object):
    with pytest.raises(OptionError, match=r"seed=.* is out of range"):
        check_rounding("nearest", seed)
