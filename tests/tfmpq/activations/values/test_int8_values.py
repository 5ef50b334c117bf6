from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tfmpq.activations.values.int8_values import rounded

ENDS = st.floats(-1e30, 1e30).map(lambda x: 0.0 if abs(x) < 1e-30 else x)


@given(ENDS, ENDS, st.integers(0, 2**31))
def test_values_in_the_range_are_off_by_half_a_step(first: float, second: float, seed: int):
    low, high = min(first, second, 0.0), max(first, second, 0.0)
    values = np.random.default_rng(seed).uniform(low, high, 50)
    step = (high - low) / 255
    # 0 is an integer, which moves the range by up to half a step: values at one end are clipped by as much.
    assert (np.abs(rounded(values, low, high) - values) <= 1.01 * step).all()
    assert rounded(np.zeros(1), low, high) == 0
    assert len(np.unique(rounded(np.linspace(low, high, 1000), low, high))) <= 256


def test_values_beyond_the_range_are_clipped():
    np.testing.assert_allclose(rounded(np.array([-9.0, -1.0, 1.0, 9.0]), -1.0, 1.55), [-1, -1, 1, 1.55])
    np.testing.assert_allclose(rounded(np.array([2.0, 3.0]), 2.0, 2.55), [2.0, 2.55])  # widened to hold 0
    np.testing.assert_array_equal(rounded(np.array([2.0, 3.0]), 0.0, 0.0), [0, 0])


def test_the_float32_minimum_is_a_range():
    lowest = float(np.finfo(np.float32).min)
    np.testing.assert_allclose(rounded(np.array([lowest, 1.0]), lowest, 1.0), [lowest, 0])
