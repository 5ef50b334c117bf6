"""The quantizer of LSQ and LG-LSQ: its start, its codes, its configuration."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.rounding_problems import few
from tfmpq.simulation.source import InputCodes
from tfmpq.training.learned_step import LearnedStep

AXES = {"dense": ((9, 4), (-1,)), "depthwise": ((3, 3, 2, 2), (2, 3)), "transposed": ((2, 2, 4, 3), (2,))}


def started(bits: int, shape: tuple[int, ...], axes: tuple[int, ...], **options: Any) -> tuple[Any, np.ndarray]:
    quantizer = LearnedStep(bits, channel_axes=axes, **options)
    quantizer.build(shape)
    weight = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    quantizer.start(weight)
    return quantizer, weight


@pytest.mark.parametrize("kind", AXES)
@pytest.mark.parametrize("per_channel", [True, False])
@pytest.mark.parametrize(("bits", "full_range"), [(2, False), (2, True), (4, True), (8, False)])
def test_points_are_what_the_graph_computes(kind: str, per_channel: bool, bits: int, full_range: bool):
    shape, axes = AXES[kind]
    quantizer, weight = started(bits, shape, axes, per_channel=per_channel, full_range=full_range)
    signs = np.ones(4, np.float32)
    if full_range:
        signs[1:3] = -1
        quantizer.signs.assign(signs)
        weight *= 3  # so that rows have their smallest code
    points = quantizer.points(weight)
    assert points.bits == bits
    assert points.counts.tolist() == [1] * 4
    codes = points.points[0].codes
    assert codes.max() <= 2 ** (bits - 1) - 1
    assert (codes.min(axis=1) == -(2 ** (bits - 1))).all() if full_range else codes.min() >= -(2 ** (bits - 1) - 1)
    assert len(np.unique(points.points[0].scale)) == (4 if per_channel else 1)
    # One float32 product each way: the same bits.
    computed = quantizer.rows(np.asarray(quantizer(weight)))
    np.testing.assert_array_equal(computed, signs[:, None] * points.reconstruct().astype(np.float32))
    assert quantizer.row_signs() is None or (quantizer.row_signs() == signs).all()


def test_the_step_starts_as_in_the_papers_but_reaches_no_further_than_the_values():
    quantizer, weight = started(3, (200, 2), (-1,))
    expected = 2 * np.abs(weight).mean(axis=0) / np.sqrt(3)
    np.testing.assert_allclose(quantizer.points(weight).points[0].scale, expected, rtol=1e-6)
    quantizer, weight = started(8, (200, 2), (-1,))
    np.testing.assert_allclose(quantizer.points(weight).points[0].scale, np.abs(weight).max(axis=0) / 127, rtol=1e-6)


def test_rows_of_zeros_have_codes_of_zeros():
    quantizer = LearnedStep(4, channel_axes=(-1,))
    quantizer.build((9, 2))
    weight = np.stack([np.zeros(9), np.linspace(-1, 1, 9)], axis=1).astype(np.float32)
    quantizer.start(weight)
    points = quantizer.points(weight)
    assert not points.points[0].codes[0].any()
    assert points.points[0].codes[1].any()


def test_inputs_that_are_never_negative_have_codes_from_zero():
    quantizer = LearnedStep(4, signed=False, least_error=False)
    quantizer.build((None, 5))
    quantizer.start_at(np.array([0.0] * 19 + [10.0], np.float32))
    step = np.float32(2 * 0.5 / np.sqrt(15))  # LSQ, section 2.1: their mean magnitude is .5
    assert quantizer.codes() == InputCodes(float(step), 0, 15)
    x = np.array([[-1.0, 0.0, 0.5, 3.0, 99.0]], np.float32)
    np.testing.assert_array_equal(np.asarray(quantizer(x)), step * np.clip(np.rint(x / step), 0, 15))
    signed = LearnedStep(4)
    signed.build((None, 5))
    signed.start_at(np.linspace(-3, 3, 1000, dtype=np.float32))
    assert (signed.codes().low, signed.codes().high) == (-7, 7)
    # Of uniform values: 15 levels that divide the range in equal parts, +-7 s having half a step beyond it.
    assert signed.codes().scale == pytest.approx(3 / 7.5, rel=0.07)  # steps that are tried are 7 % apart


@few
@given(seed=st.integers(0, 99), bits=st.integers(2, 8), signed=st.booleans(), kept=st.sampled_from([0.01, 0.3, 1.0]))
def test_inputs_start_at_no_more_error_than_lsq_has_however_sparse_they_are(
    seed: int, bits: int, signed: bool, kept: float
):
    chance = np.random.default_rng(seed)
    values = chance.normal(size=4000) ** chance.integers(1, 4) * (chance.uniform(size=4000) < kept)
    values = (values if signed else np.abs(values)).astype(np.float32)

    def error(least: bool) -> float:
        quantizer = LearnedStep(bits, signed=signed, least_error=least)
        quantizer.build((None, 1))
        quantizer.start_at(values)
        return float(np.square(values - np.asarray(quantizer(values[:, None]))[:, 0]).sum())

    # LSQ's step lies between two that are tried, of which the better is chosen; its error may be a little lower where
    # all values happen to lie near its levels.
    assert error(True) <= 1.05 * error(False)


@pytest.mark.parametrize("values", [np.zeros(5), np.zeros(0)])
@pytest.mark.parametrize("least_error", [True, False])
def test_inputs_of_zeros_or_of_none_start_at_a_small_step(values: np.ndarray, least_error: bool):
    quantizer = LearnedStep(4, least_error=least_error)
    quantizer.build((None, 5))
    quantizer.start_at(values.astype(np.float32))
    assert 0 < quantizer.codes().scale < 1e-3


def test_noise_is_for_training_and_new_at_every_step():
    quantizer, weight = started(3, (50, 4), (-1,), rounding="stochastic")
    first, second = (np.asarray(quantizer(weight, training=True)) for _ in range(2))
    assert (first != second).any()
    inference = np.asarray(quantizer(weight, training=False))
    np.testing.assert_array_equal(quantizer.rows(inference), quantizer.points(weight).reconstruct().astype(np.float32))
    step = quantizer.points(weight).points[0].scale
    assert (np.abs(first - np.clip(weight, -3 * step, 3 * step)) <= step * (1 + 1e-6)).all()


def test_configuration_comes_back():
    quantizer = LearnedStep(3, signed=False, per_channel=False, learn=False, rounding="stochastic", channel_axes=(2, 3))
    config = keras.saving.serialize_keras_object(quantizer)
    again: Any = keras.saving.deserialize_keras_object(config)
    assert again.get_config() == quantizer.get_config()
    assert again.surrogate == quantizer.surrogate
