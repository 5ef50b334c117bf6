"""Incremental network quantization: levels, freezing, points."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from tfmpq.training.powers import PowersOfTwo

PORTIONS = (0.5, 0.75, 1.0)


def started(bits: int, weight: np.ndarray, **options: Any) -> Any:
    quantizer = PowersOfTwo(bits, portions=PORTIONS, channel_axes=(-1,), **options)
    quantizer.build(weight.shape)
    quantizer.start(weight)
    return quantizer


def weights() -> np.ndarray:
    return np.random.default_rng(0).normal(0, 0.3, (60, 5)).astype(np.float32)


def by_the_paper(weight: np.ndarray, bits: int) -> np.ndarray:
    """Equations 2-4: levels 0, +-2^n2 .. +-2^n1; alpha < beta becomes beta from (alpha + beta) / 2 up to 3 beta / 2."""
    n1 = int(np.floor(np.log2(4 * np.abs(weight).max() / 3)))
    n2 = n1 + 1 - 2 ** (bits - 1) // 2
    levels = [0.0, *(2.0**n for n in range(n2, n1 + 1))]
    result = np.zeros(weight.shape)
    for alpha, beta in pairwise(levels):
        chosen = (np.abs(weight) >= (alpha + beta) / 2) & (np.abs(weight) < 3 * beta / 2)
        result[chosen] = beta
    return (np.sign(weight) * result).astype(np.float32)


@pytest.mark.parametrize("bits", [2, 3, 4, 5])
def test_levels_and_points_are_those_of_the_paper(bits: int):
    weight = weights()
    quantizer = started(bits, weight)
    quantizer.freeze(weight, 1.0)
    np.testing.assert_array_equal(np.asarray(quantizer(weight)), by_the_paper(weight, bits))
    points = quantizer.points(weight)
    assert len(points.points) == (2 if bits == 5 else 1)
    np.testing.assert_array_equal(points.reconstruct().astype(np.float32), by_the_paper(weight, bits).T)
    scales = np.concatenate([point.scale for point in points.points])
    np.testing.assert_array_equal(np.log2(scales), np.rint(np.log2(scales)))


@pytest.mark.parametrize("bits", [2, 4, 5])
def test_rows_may_have_their_own_levels(bits: int):
    weight = weights() * np.array([1, 0.3, 0.01, 2, 0], np.float32)
    quantizer = started(bits, weight, per_channel=True)
    quantizer.freeze(weight, 1.0)
    wanted = np.stack([by_the_paper(row, bits) if row.any() else row for row in weight.T])
    np.testing.assert_array_equal(np.asarray(quantizer(weight)), wanted.T)
    np.testing.assert_array_equal(quantizer.points(weight).reconstruct().astype(np.float32), wanted)


@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("bits", [2, 3, 4, 5])
def test_the_largest_level_of_least_error(bits: int, per_channel: bool):
    weight = weights() * np.array([1, 0.3, 0.01, 2, 0], np.float32)
    paper = started(bits, weight, per_channel=per_channel)
    best = started(bits, weight, per_channel=per_channel, least_error=True)
    errors = []
    for top in (np.asarray(paper.top), *(np.asarray(paper.top) - lower for lower in (1, 2, 3))):
        paper.top.assign(top)
        paper.freeze(weight, 1.0)
        errors.append(np.square(np.asarray(paper(weight), np.float64) - weight).sum(axis=0))
        paper.frozen.assign(np.zeros(weight.shape))
    best.freeze(weight, 1.0)
    found = np.square(np.asarray(best(weight), np.float64) - weight).sum(axis=0)
    if not per_channel:
        errors, found = [e.sum() for e in errors], found.sum()
    np.testing.assert_array_equal(found, np.min(errors, axis=0))
    # Of 60 normal weights the largest is beyond 2 sigma: two levels beside zero serve the others badly.
    assert (found < errors[0]).any() == (bits <= 3)


def test_the_largest_are_frozen_first_and_never_change():
    weight = weights()
    quantizer = started(4, weight)
    assert quantizer.unfinished()
    np.testing.assert_array_equal(np.asarray(quantizer(weight)), weight)
    before = np.zeros(weight.shape, bool)
    value = np.asarray(quantizer(weight))
    for share in PORTIONS:
        quantizer.freeze(weight, share)
        frozen = np.asarray(quantizer.frozen) > 0
        assert frozen.sum() == round(share * weight.size)
        now = np.asarray(quantizer(weight))
        np.testing.assert_array_equal(now[before], value[before])
        assert np.abs(weight[frozen & ~before]).min() >= np.abs(weight[~frozen]).max(initial=0)
        before, value = frozen, now
        weight = np.where(frozen, 9.0, weight * 1.3).astype(np.float32)  # whatever an optimizer makes of frozen ones
    assert not quantizer.unfinished()
    quantizer.freeze(weight, 1.0)
    np.testing.assert_array_equal(np.asarray(quantizer(weight)), value)


def test_gradients_go_to_float_weights_only():
    weight = weights()
    quantizer = started(4, weight)
    quantizer.freeze(weight, 0.5)
    w = tf.constant(weight)
    with tf.GradientTape() as tape:
        tape.watch(w)
        loss = tf.reduce_sum(quantizer(w) * 3.0)
    gradient: Any = tape.gradient(loss, w)
    np.testing.assert_array_equal(gradient, np.where(np.asarray(quantizer.frozen) > 0, 0.0, 3.0))


def test_rows_without_large_or_small_levels_have_one_point():
    weight = np.zeros((4, 3), np.float32)
    weight[:, 0] = [1.0, 0.5, -0.25, 0.125]  # upper octaves only
    weight[:, 1] = [1.0, 2**-5, 0, 0]
    weight[:, 2] = [2**-4, -(2**-7), 0, 0]  # lower ones only
    quantizer = started(5, weight)
    quantizer.freeze(weight, 1.0)
    points = quantizer.points(weight)
    assert points.counts.tolist() == [1, 2, 1]
    np.testing.assert_array_equal(points.reconstruct(), weight.T)


def test_a_weight_of_zeros():
    weight = np.zeros((4, 3), np.float32)
    quantizer = started(4, weight)
    quantizer.freeze(weight, 1.0)
    assert not quantizer.points(weight).reconstruct().any()


def test_stochastic_rounding_is_unbiased_between_levels():
    count = 40_000
    weight = np.tile(np.array([1.0, 0.7, -0.3, 0.05], np.float32), (count, 1))
    quantizer = started(4, weight, rounding="stochastic", seed=5)  # levels 0, 1/8, 1/4, 1/2, 1
    quantizer.freeze(weight, 1.0)
    found = np.asarray(quantizer.levels, np.float64)
    # One of two levels, d apart, the upper with probability p: the variance of the mean is d^2 p (1 - p) / n.
    gap, p = np.array([1.0, 0.5, 0.25, 0.125]), np.array([0.0, 0.4, 0.2, 0.4])
    assert (np.abs(found.mean(axis=0) - weight[0]) <= 5 * gap * np.sqrt(p * (1 - p) / count) + 1e-6).all()
