"""Trained ternary quantization: levels, gradients, points."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from tests.support.rounding_problems import few
from tfmpq.training.ternary import PAPER_THRESHOLD, Ternary, least_error_share, ternary

WEIGHT = np.array([[1.0, -0.5], [0.04, 0.3], [-0.02, -0.06], [0.7, 0.0]], np.float32)  # the threshold is 0.05


def started(weight: np.ndarray, **options: Any) -> Any:
    quantizer = Ternary(channel_axes=(-1,), **options)
    quantizer.build(weight.shape)
    quantizer.start(weight)
    return quantizer


def test_values_and_gradients_are_those_of_the_paper():
    w, positive, negative = tf.constant(WEIGHT), tf.constant(0.8), tf.constant(0.25)
    upstream = np.arange(1, 9, dtype=np.float32).reshape(4, 2)
    with tf.GradientTape() as tape:
        tape.watch([w, positive, negative])
        result = ternary(w, positive, negative, 0.05)
        loss = tf.reduce_sum(result * upstream)
    np.testing.assert_array_equal(result, np.array([[0.8, -0.25], [0, 0.8], [0, -0.25], [0.8, 0]], np.float32))
    found: Any = tape.gradient(loss, [w, positive, negative])
    np.testing.assert_allclose(found[0], [[0.8, 0.5], [3, 3.2], [5, 1.5], [5.6, 8]], rtol=1e-6)
    assert float(found[1]) == 1 + 4 + 7  # the upper zone
    assert float(found[2]) == -(2 + 6)  # minus the lower one


def test_gradients_of_the_levels_against_finite_differences():
    def loss(positive: float, negative: float) -> float:
        return float(tf.reduce_sum(tf.sin(ternary(tf.constant(WEIGHT), positive, negative, 0.05))))

    positive, negative, h = tf.constant(0.8), tf.constant(0.25), 1e-2
    with tf.GradientTape() as tape:
        tape.watch([positive, negative])
        result = tf.reduce_sum(tf.sin(ternary(tf.constant(WEIGHT), positive, negative, 0.05)))
    found: Any = tape.gradient(result, [positive, negative])
    # h^2 / 6 times at most three third derivatives of 1, and float32 over 2 h.
    assert float(found[0]) == pytest.approx((loss(0.8 + h, 0.25) - loss(0.8 - h, 0.25)) / (2 * h), abs=1e-4)
    assert float(found[1]) == pytest.approx((loss(0.8, 0.25 + h) - loss(0.8, 0.25 - h)) / (2 * h), abs=1e-4)


def test_levels_start_at_the_mean_of_their_zone():
    quantizer = started(WEIGHT)
    assert float(quantizer.positive.value()) == pytest.approx((1.0 + 0.3 + 0.7) / 3)
    assert float(quantizer.negative.value()) == pytest.approx((0.5 + 0.06) / 2)


def squared_error(weight: np.ndarray, share: float) -> float:
    limit, wide = share * np.abs(weight).max(), weight.astype(np.float64)
    zones = [zone for zone in (weight > limit, weight < -limit, np.abs(weight) <= limit) if zone.any()]
    levels = [0.0 if (np.abs(weight[zone]) <= limit).all() else wide[zone].mean() for zone in zones]
    return sum(float(((wide[zone] - level) ** 2).sum()) for zone, level in zip(zones, levels, strict=True))


@few
@given(st.integers(0, 2**31 - 1), st.floats(-1, 1))
def test_the_own_threshold_has_the_least_error(seed: int, offset: float):
    weight = (np.random.default_rng(seed).standard_normal((6, 5)) + offset).astype(np.float32)
    share = least_error_share(weight)
    magnitudes = np.sort(np.abs(weight), axis=None) / np.abs(weight).max()
    others = [*((magnitudes[1:] + magnitudes[:-1]) / 2), 0.0, PAPER_THRESHOLD]  # all zones there are
    # Sums in another order.
    assert squared_error(weight, share) <= min(squared_error(weight, other) for other in others) * (1 + 1e-9)


@pytest.mark.parametrize("weight", [np.zeros((2, 3), np.float32), np.ones((2, 3), np.float32), -WEIGHT])
def test_the_own_threshold_of_odd_weights(weight: np.ndarray):
    quantizer = started(weight, threshold=None)
    points = quantizer.points(weight)
    assert float(quantizer.share) == pytest.approx(least_error_share(weight))
    assert 0 < least_error_share(weight) < 1
    if len(np.unique(weight)) == 1:  # zeros and ones are exact
        np.testing.assert_array_equal(points.reconstruct().astype(np.float32), weight.T)


def test_two_points_a_row_are_exact():
    quantizer = started(WEIGHT)
    points = quantizer.points(WEIGHT)
    assert points.counts.tolist() == [1, 2]  # channel 0 has no weight below the threshold
    assert points.points[0].codes.tolist() == [[1, 0, 0, 1], [0, 1, 0, 0]]
    assert points.points[1].codes.tolist() == [[0, 0, 0, 0], [-1, 0, -1, 0]]
    np.testing.assert_array_equal(points.reconstruct().astype(np.float32), np.asarray(quantizer(WEIGHT)).T)


@pytest.mark.parametrize("weight", [WEIGHT, -WEIGHT, np.abs(WEIGHT), np.zeros((4, 2), np.float32)])
def test_rows_of_one_sign_and_zeros(weight: np.ndarray):
    quantizer = started(weight)
    points = quantizer.points(weight)
    np.testing.assert_array_equal(points.reconstruct().astype(np.float32), np.asarray(quantizer(weight)).T)
    one_sign = [not ((row > 0.05).any() and (row < -0.05).any()) for row in weight.T]
    assert (points.counts == np.where(one_sign, 1, 2)).all()


def test_equal_levels_need_one_point():
    quantizer = started(WEIGHT)
    for scale in (quantizer.positive, quantizer.negative):
        scale.start(0.5)
    points = quantizer.points(WEIGHT)
    assert points.counts.tolist() == [1, 1]
    np.testing.assert_array_equal(points.reconstruct().astype(np.float32), np.asarray(quantizer(WEIGHT)).T)


def test_stochastic_rounding_is_unbiased_within_the_levels():
    count = 50_000
    w = np.tile(np.array([0.3, -0.1, 0.0, 0.79], np.float32), (count, 1))
    noise = tf.random.stateless_uniform(w.shape, (3, 4))
    found = ternary(tf.constant(w), tf.constant(0.8), tf.constant(0.4), 0.05, noise).numpy()
    # Either 0 or the level L, L with probability p = |w| / L: the variance of the mean is L^2 p (1 - p) / n.
    level = np.array([0.8, 0.4, 0.8, 0.8])
    p = np.abs(w[0]) / level
    bound = 5 * level * np.sqrt(p * (1 - p) / count) + 1e-6
    assert (np.abs(found.mean(axis=0, dtype=np.float64) - w[0]) <= bound).all()
