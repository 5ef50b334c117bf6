"""Levels that are learned: their gradient, and the points that they are written as."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from tfmpq.training.levels import LearnedLevels, least_tolerance, pick_levels


def quantizer(weight: np.ndarray, **options: Any) -> LearnedLevels:
    made = LearnedLevels(channel_axes=(-1,), **options)
    made.build(weight.shape)
    made.start(weight)
    return made


def kernel() -> np.ndarray:
    return np.random.default_rng(0).laplace(0, 0.2, (3, 3, 8, 16)).astype(np.float32)


@pytest.mark.parametrize("jit", [False, True])
def test_a_level_has_the_gradients_of_its_weights(jit: bool):
    generator = np.random.default_rng(0)
    values, upstream = generator.normal(size=(2, 5, 40)).astype(np.float32)
    levels = np.sort(generator.normal(size=8)).astype(np.float32)

    @tf.function(jit_compile=jit)
    def gradients(values: Any, levels: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch([values, levels])
            picked = pick_levels(values, levels, levels)
            loss = tf.reduce_sum(picked * upstream)
        return picked, tape.gradient(loss, [values, levels])

    picked, (of_values, of_levels) = gradients(tf.constant(values), tf.constant(levels))
    nearest = np.abs(values[..., None] - levels).argmin(-1)
    np.testing.assert_array_equal(picked, levels[nearest])
    wanted = [upstream[nearest == level].sum(dtype=np.float64) for level in range(8)]
    np.testing.assert_allclose(of_levels, wanted, atol=1e-5)  # sums of at most 200 float32 numbers of about 1
    np.testing.assert_array_equal(of_values, 0)


def test_a_scaled_row_counts_by_its_scale():
    values, upstream = np.random.default_rng(0).normal(size=(2, 5, 40)).astype(np.float32)
    scales = np.array([[1], [2], [0.5], [4], [1]], np.float32)
    levels = tf.constant([-1.0, 0.0, 1.5])
    with tf.GradientTape() as tape:
        tape.watch(levels)
        picked = pick_levels(values, levels, tf.constant([-2.0, 0.0, 3.0]), unit=scales / 2, scales=scales)
        loss = tf.reduce_sum(picked * upstream)
    nearest = np.abs(values[..., None] - np.array([-1.0, 0.0, 1.5])).argmin(-1)
    np.testing.assert_array_equal(picked, np.array([-1, 0, 1.5], np.float32)[nearest] * scales)
    wanted = [(upstream * scales)[nearest == level].sum(dtype=np.float64) for level in range(3)]
    found = np.asarray(tape.gradient(loss, levels))
    np.testing.assert_allclose(found, wanted, atol=1e-4)  # float32 sums of numbers of about 4


@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize(("bits", "points"), [(2, 1), (2, 4), (3, 2), (4, 2), (4, 3), (8, 1)])
def test_levels_are_written_within_the_tolerance(bits: int, points: int, per_channel: bool):
    weight = kernel()
    tolerance = least_tolerance(bits, points)
    made = quantizer(weight, bits=bits, most_points=points, tolerance=tolerance, per_channel=per_channel)
    written = made.points(weight)
    levels, scales = np.asarray(made.levels) * float(made.first), np.asarray(made.scales)[:, None]
    assert per_channel or (scales == 1).all()
    rows = made.rows(weight)
    nearest = levels[np.abs((rows / scales)[..., None] - levels).argmin(-1)] * scales
    # float32 on top of the tolerance itself
    limit = tolerance * np.abs(levels).max() * scales * (1 + 1e-5)
    assert (np.abs(written.reconstruct() - nearest) <= limit).all()
    computed = made.rows(np.asarray(made(weight)))
    np.testing.assert_array_equal(written.reconstruct(np.float32), computed)


@pytest.mark.parametrize(("bits", "points"), [(2, 2), (3, 2), (4, 2), (8, 1)])
def test_levels_start_on_codes_of_rows_of_either_sign(bits: int, points: int):
    chance = np.random.default_rng(1)
    tolerance = least_tolerance(bits, points)
    made = quantizer(kernel(), bits=bits, most_points=points, tolerance=tolerance)
    codes = chance.integers(made.low, made.high + 1, (16, 72))
    steps, signs = chance.uniform(0.1, 3, 16), chance.choice([-1.0, 1.0], 16)
    made.start_on(signs * steps)
    rows = signs[:, None] * steps[:, None] * (codes + chance.uniform(-0.45, 0.45, codes.shape))
    weight = rows.T.reshape(3, 3, 8, 16).astype(np.float32)
    written = made.points(weight)
    wanted = signs[:, None] * steps[:, None] * codes
    # A level is written to within the tolerance of the largest, -2^(bits - 1) steps; float32 on top.
    limit = tolerance * 2 ** (bits - 1) * steps[:, None] * (1 + 1e-5)
    assert (np.abs(written.reconstruct() - wanted) <= limit).all()
    assert all((point.scale > 0).all() for point in written.points)
    np.testing.assert_array_equal(written.reconstruct(np.float32), made.rows(np.asarray(made(weight))))


def test_no_more_points_than_the_tolerance_needs():
    weight = kernel()
    counts = [
        quantizer(weight, bits=4, most_points=3, tolerance=least_tolerance(4, n)).points(weight).counts.max()
        for n in (1, 2, 3)
    ]
    # Levels may by chance lie on a coarser grid than they would need in the worst case, but 15 of them do not.
    assert counts == [1, 2, 3]


def test_levels_start_closer_than_a_uniform_grid():
    weight = kernel()
    made = quantizer(weight, bits=3, most_points=2, tolerance=least_tolerance(3, 2))
    error = np.square(np.asarray(made(weight)) - weight).mean()
    step = np.abs(weight).max() / 3
    assert error < 0.5 * np.square(np.rint(weight / step) * step - weight).mean()


def test_scales_bring_rows_of_other_sizes_closer():
    weight = kernel() * np.geomspace(0.1, 1, 16, dtype=np.float32)
    errors = []
    for per_channel in (True, False):
        made = quantizer(weight, bits=3, most_points=2, tolerance=least_tolerance(3, 2), per_channel=per_channel)
        loss = np.square(made.rows(np.asarray(made(weight)) - weight)).sum(axis=1)
        errors.append(loss / np.square(made.rows(weight)).sum(axis=1))
    # The smallest row is about the level nearest to 0 without a scale.
    assert errors[0].max() < 0.1 < errors[1].max()
    assert errors[0].mean() < errors[1].mean() / 2


def test_levels_that_cross_change_places():
    weight = kernel()
    made = quantizer(weight, bits=2, most_points=2, tolerance=0.2)
    constraint: Any = made.levels.constraint
    np.testing.assert_array_equal(
        constraint(tf.constant([0.3, -1.0, 1.0, 0.2])), np.array([-1.0, 0.2, 0.3, 1.0], np.float32)
    )


def test_stochastic_rounding_expects_the_weight_itself():
    weight = np.full((4000, 1), 0.1, np.float32)
    weight[:4, 0] = [-1, -0.3, 0.4, 1]
    made = quantizer(weight, bits=2, most_points=4, tolerance=0.01, rounding="stochastic", seed=1)
    made.levels.assign([-1.0, -0.3, 0.4, 1.0])
    made.first.assign(1.0)
    made.scales.assign([1.0])
    drawn = np.asarray(made(weight, training=True))[4:]
    assert set(np.rint(drawn.ravel() * 10)) == {-3, 4}
    # A mean of 3996 draws with a spread of .35: four standard errors, and half a step of the grid of written levels.
    assert abs(drawn.mean() - 0.1) < 4 * 0.35 / np.sqrt(3996) + 0.006
    assert set(np.rint(np.asarray(made(weight))[4:].ravel() * 10)) == {4}


def test_a_weight_of_zeros_has_a_level():
    weight = np.zeros((4, 3), np.float32)
    made = quantizer(weight, bits=4, most_points=2, tolerance=0.01)
    np.testing.assert_array_equal(made.points(weight).reconstruct(), 0)
    np.testing.assert_array_equal(made(weight), 0)
