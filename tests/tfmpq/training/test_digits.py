"""Rows of radix points as integers of one grid: what is computed, its gradients, and the digits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from converters.points import code_range, grid_limits, merge
from tfmpq.simulation.points import from_rows
from tfmpq.training.digits import Digits

SHAPE, ROWS = (3, 3, 4, 6), 6
COUNTS = (1, 2, 1, 2, 2, 1)
SIGNS = np.array([1, 1, -1, -1, 1, 1], np.float32)


def kernel() -> np.ndarray:
    return np.random.default_rng(0).normal(0, 0.3, SHAPE).astype(np.float32)


def quantizer(bits: int, counts: tuple[int, ...] = COUNTS, **options: Any) -> Digits:
    made = Digits(bits, counts=counts, channel_axes=(-1,), **options)
    made.build(SHAPE)
    _, high = made.limits()
    # Some weights of every row are clipped.
    made.start_at(0.5 / high, SIGNS)
    made.start(kernel())
    return made


@pytest.mark.parametrize("bits", [2, 3, 4, 6])
def test_digits_are_what_is_computed(bits: int):
    made, weight = quantizer(bits), kernel()
    points = made.points(weight)
    np.testing.assert_array_equal(points.counts, COUNTS)
    rows = points.reconstruct(np.float32) * made.row_signs()[:, None]
    np.testing.assert_array_equal(made(weight), from_rows(rows, SHAPE, (-1,)))
    assert merge(points) is not None  # one grid
    low, high = zip(*(grid_limits(bits, n) for n in COUNTS), strict=True)
    wanted = np.rint(
        np.clip(SIGNS[:, None] * made.rows(weight) / made.step.value()[:, None], *np.c_[[low, high]][..., None])
    )
    np.testing.assert_array_equal(made.integers(weight), wanted)


def test_single_points_use_the_lowest_code_only_where_kernels_read_it():
    weight = kernel()
    assert quantizer(4).points(weight).points[0].codes[[0, 2]].min() == code_range(4)[0] == -8
    assert quantizer(4, lowest=False).points(weight).points[0].codes[[0, 2, 5]].min() == -7


@pytest.mark.parametrize("jit", [False, True])
def test_gradients_pass_straight_through_rounding(jit: bool):
    made, weight = quantizer(4), kernel()
    upstream = np.random.default_rng(1).normal(size=SHAPE).astype(np.float32)

    @tf.function(jit_compile=jit)
    def gradients(values: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(values)
            loss = tf.reduce_sum(made(values) * upstream)
        return tape.gradient(loss, [values, made.trainable_variables[0].value])

    of_values, of_ratio = gradients(tf.constant(weight))
    low, high = (limit[:, None] for limit in made.limits())
    step = made.step.value()[:, None]
    u = SIGNS[:, None] * made.rows(weight) / step
    inside = (u >= low) & (u <= high)
    assert 0 < (~inside).sum() < 0.2 * inside.size
    # Multiplied by the step and divided by it, in float32.
    np.testing.assert_allclose(made.rows(np.asarray(of_values)), np.where(inside, made.rows(upstream), 0), rtol=1e-6)
    # LSQ, section 2.1, without its factor; the ratio's is that of the step over the first step.
    own = np.where(inside, made.integers(weight) - u, np.clip(u, low, high))
    of_step = (SIGNS[:, None] * own * made.rows(upstream)).sum(axis=1)
    np.testing.assert_allclose(of_ratio, of_step / step[:, 0], rtol=1e-3)  # float32 sums of 36


def test_settled_weights_round_to_the_same_integers():
    made, weight = quantizer(3), kernel()
    integers = made.integers(weight)
    settled = from_rows(made.settled(weight), SHAPE, (-1,))
    np.testing.assert_array_equal(made.integers(settled), integers)
    u = SIGNS[:, None] * made.rows(settled) / made.step.value()[:, None]
    assert np.abs(u - integers).max() < 0.46
    # To other integers, which feedback chose, too.
    low, high = (limit[:, None] for limit in made.limits())
    others = np.clip(integers + np.random.default_rng(2).integers(-1, 2, integers.shape), low, high).astype(np.int64)
    moved = from_rows(made.settled(weight, others), SHAPE, (-1,))
    np.testing.assert_array_equal(made.integers(moved), others)


def test_without_a_start_steps_reach_the_largest_weights():
    made = Digits(4, counts=[1] * ROWS, channel_axes=(-1,))
    made.build(SHAPE)
    made.start(kernel())
    rows = made.rows(kernel())
    error = np.abs(made.points(kernel()).reconstruct() - rows)
    assert (error <= made.step.value()[:, None] * 0.501).all()


def test_stochastic_rounding_expects_the_weight_itself():
    weight = np.full((2000, 1), 0.53, np.float32)
    made = Digits(4, counts=[1], channel_axes=(-1,), rounding="stochastic", seed=5)
    made.build(weight.shape)
    made.start_at(np.array([0.1]), np.ones(1))
    made.start(weight)
    drawn = np.asarray(made(weight, training=True))
    assert set(np.rint(drawn.ravel() * 10)) == {5, 6}
    # The mean of 2000 draws has a standard error of .1 sqrt(.3 * .7 / 2000): four of these.
    assert abs(drawn.mean() - 0.53) < 4 * 0.1 * np.sqrt(0.3 * 0.7 / 2000)
