from __future__ import annotations

import numpy as np

from tfmpq.analysis.channel_factors import ChannelFactors, in_first_order, scaled_by

RNG = np.random.default_rng(0)
VALUES = RNG.normal(size=(20, 6, 5)).astype(np.float32)


def found(second: np.ndarray) -> np.ndarray | None:
    factors = ChannelFactors()
    for x, y in zip(VALUES, second, strict=True):
        factors.add(x, y)
    return factors.result()


def test_factors_of_the_grid_are_found_in_noise():
    factors = 2.0 ** (np.array([-40, -1, 0, 3, 100]) / 16)
    noise = 1 + RNG.normal(size=VALUES.shape) / 40  # a grid step is 4 %
    np.testing.assert_allclose(np.array(found(VALUES * factors * noise)), factors, rtol=1e-12)


def test_errors_of_gain_are_no_factors():
    assert found(VALUES * np.array([1.09, 0.93, 1, 1, 1])) is None
    assert found(VALUES) is None


def test_channels_of_which_nothing_is_known_stay():
    factors = np.array([8.0, 1, 1, 1, 1])
    second = VALUES * factors
    second[..., 2] = 0  # lost
    second[..., 3] *= -1  # not scaled: wrong
    np.testing.assert_array_equal(found(second), factors)


def test_order_and_values():
    order, factors = np.array([2, 0, 1]), np.array([4.0, 1.0, 2.0])  # of the second file's channels
    assert in_first_order(factors, order).tolist() == [1.0, 2.0, 4.0]
    assert in_first_order(factors, None) is factors
    assert scaled_by(np.ones((1, 3), np.float32), factors).tolist() == [[4, 1, 2]]
    assert scaled_by(VALUES, None) is VALUES
