"""Gradients that stand in for those of rounding, against finite differences of what they are the gradients of."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from tfmpq.training.surrogate import Surrogate, quantize, simulated_gradient, soft_round

PLAIN = Surrogate(ssg=False, asr=False, mde=False)
LOW, HIGH = -7, 7


def values() -> np.ndarray:
    """Some of them clipped; none so close to a step's edge or a limit that a finite difference would meet it."""
    drawn = np.random.default_rng(0).normal(0, 0.5, (5, 40)).astype(np.float32)
    u = drawn / 0.1
    near = (np.abs(u - np.floor(u)) < 0.02) | (np.abs(u - np.rint(u)) > 0.48)
    return np.where(near, drawn + 0.1 * 0.1, drawn).astype(np.float32)


def gradients(v: np.ndarray, s: Any, surrogate: Surrogate, upstream: np.ndarray, k: float = 3.0) -> tuple[Any, Any]:
    values, step = tf.constant(v), tf.constant(s, tf.float32)
    with tf.GradientTape() as tape:
        tape.watch([values, step])
        out = quantize(values, step, low=LOW, high=HIGH, surrogate=surrogate, sharpness=tf.constant(k), count=1)
        loss = tf.reduce_sum(out * upstream)
    found: Any = tape.gradient(loss, [values, step])
    return found[0].numpy(), found[1].numpy()


@pytest.mark.parametrize("k", [1.0, 3.0, 10.0])
def test_slope_of_soft_rounding_against_finite_differences(k: float):
    u = np.linspace(-3.3, 3.3, 500)[:, None]
    u = u[np.abs(u - np.rint(u)) > 1e-3]  # the slope jumps nowhere, but has a kink at whole numbers
    h = 1e-5
    (above, _), (below, _) = (soft_round(tf.constant(u + d, tf.float64), tf.constant(k, tf.float64)) for d in (h, -h))
    _, slope = soft_round(tf.constant(u, tf.float64), tf.constant(k, tf.float64))
    # h^2 / 6 times the third derivative, which is at most about k^3, and 1e-16 / h of float64.
    np.testing.assert_allclose((above - below) / (2 * h), slope, atol=k**3 * h**2 + 1e-10)


def test_slope_is_positive_everywhere_and_one_for_vanishing_sharpness():
    u = tf.constant(np.linspace(-9, 9, 20001), tf.float64)
    for k in (1e-3, 1.0, 10.0, 100.0):
        assert float(tf.reduce_min(soft_round(u, tf.constant(k, tf.float64))[1])) > 0
    soft, slope = soft_round(u, tf.constant(1e-4, tf.float64))
    # atan(x) = x - x^3 / 3: relative errors of (k / 2)^2.
    np.testing.assert_allclose(soft, u, atol=1e-8)
    np.testing.assert_allclose(slope, np.ones(len(u)), atol=1e-8)
    hard, _ = soft_round(u, tf.constant(1e6, tf.float64))
    apart = np.abs(u - np.floor(u) - 0.5) > 1e-2
    np.testing.assert_allclose(np.asarray(hard)[apart], np.rint(u)[apart], atol=1e-3)


def test_with_soft_rounding_gradients_are_those_of_the_soft_quantizer():
    v, s, k = values(), 0.1, 3.0
    upstream = np.random.default_rng(1).normal(size=v.shape).astype(np.float32)

    def soft(v: np.ndarray, s: float) -> float:
        u = np.clip(v / s, LOW, HIGH)
        phi, _ = soft_round(tf.constant(u, tf.float64), tf.constant(k, tf.float64))
        # Where values are clipped, the level counts: hard rounding of a whole number.
        inside = (v / s >= LOW) & (v / s <= HIGH)
        return float((s * np.where(inside, phi, u) * upstream).sum())

    of_values, of_step = gradients(v, s, Surrogate(ssg=False, asr=True, mde=False), upstream, k)
    wide, h = v.astype(np.float64), 1e-6
    numeric = (soft(wide, s + h) - soft(wide, s - h)) / (2 * h)
    assert of_step == pytest.approx(numeric / np.sqrt(HIGH), rel=1e-3)  # float32 against float64
    for index in np.ndindex(2, 10):
        moved = np.zeros_like(wide)
        moved[index] = h
        numeric = (soft(wide + moved, s) - soft(wide - moved, s)) / (2 * h)
        assert of_values[index] == pytest.approx(numeric, rel=1e-3, abs=1e-5)


def test_vanishing_sharpness_gives_straight_through_gradients():
    v = values()
    upstream = np.ones_like(v)
    soft, _ = gradients(v, 0.1, Surrogate(ssg=False, asr=True, mde=False), upstream, k=1e-3)
    straight, _ = gradients(v, 0.1, PLAIN, upstream)
    np.testing.assert_allclose(soft, straight, atol=1e-5)
    np.testing.assert_array_equal(straight, (np.abs(v / np.float32(0.1)) <= HIGH).astype(np.float32))


def test_without_surrogates_the_step_has_the_gradient_of_lsq():
    v, s = values(), np.float32(0.1)
    upstream = np.random.default_rng(1).normal(size=v.shape).astype(np.float32)
    _, of_step = gradients(v, s, PLAIN, upstream)
    u = v / s
    own = np.where(np.abs(u) <= HIGH, np.rint(u) - u, np.sign(u) * HIGH)
    assert of_step == pytest.approx((own * upstream).sum() / np.sqrt(HIGH), rel=1e-4)


def test_gradients_towards_levels_count_more():
    v = np.array([0.13, 0.17], np.float32)  # above and below their levels 0.1 and 0.2
    surrogate = Surrogate(ssg=False, asr=False, mde=True, delta=0.1)
    down, _ = gradients(v, 0.1, surrogate, np.ones(2, np.float32))
    up, _ = gradients(v, 0.1, surrogate, -np.ones(2, np.float32))
    np.testing.assert_allclose(down, [1.03, 0.97], rtol=1e-4)
    np.testing.assert_allclose(up, [-0.97, -1.03], rtol=1e-4)


@pytest.mark.parametrize(("factor", "sign"), [(4.0, 1), (1.0, 0), (0.25, -1)])
def test_steps_move_towards_the_smaller_error(factor: float, sign: int):
    v = np.random.default_rng(0).normal(size=(4, 500)).astype(np.float32)
    best = 0.35  # about the best step of 15 levels for a bell curve
    step = tf.fill([4, 1], best * factor)
    found = simulated_gradient(tf.constant(v), step, LOW, HIGH).numpy()
    assert found.shape == (4, 1)
    np.testing.assert_array_equal(np.sign(found), sign)
    assert (np.abs(found) <= best * factor).all()
