from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.rounding_problems import heavy_tailed, many, moment_of, problem_of
from tfmpq.algorithms import ALGORITHMS
from tfmpq.algorithms.problem import join_rows, make_candidate, output_error


def test_output_error_is_the_mean_squared_output():
    rng = np.random.default_rng(0)
    inputs, delta = rng.normal(1.0, 1.0, (3, 50, 7)), rng.normal(size=(3, 4, 7))
    expected = ((delta @ np.swapaxes(inputs, 1, 2)) ** 2).mean(axis=2)
    np.testing.assert_allclose(output_error(delta, moment_of(inputs)), expected, rtol=1e-12)  # float64 sums


def test_a_diagonal_stands_for_a_diagonal_matrix():
    rng = np.random.default_rng(0)
    diagonal, delta = rng.exponential(size=(3, 7)), rng.normal(size=(3, 4, 7))
    full = np.stack([np.diag(d) for d in diagonal])
    np.testing.assert_allclose(output_error(delta, diagonal), output_error(delta, full), rtol=1e-12)  # float64 sums


@many
@given(st.integers(0, 2**32 - 1))
def test_an_error_is_never_negative(seed: int):
    rng = np.random.default_rng(seed)
    direction = rng.normal(size=5)
    delta = np.linalg.svd(direction[None])[2][1:][None] * rng.lognormal(0, 5)  # what a rank-1 moment does not see
    assert (output_error(delta, np.outer(direction, direction)[None]) >= 0).all()


def test_a_candidate_is_judged_with_the_scales_that_are_stored():
    rng = np.random.default_rng(0)
    problem = problem_of(heavy_tailed(rng, 2, 3, 5), moment_of(rng.normal(size=(2, 20, 5))), 4)
    codes, scales = rng.integers(-8, 8, (2, 2, 3, 5)), rng.lognormal(size=(2, 2, 3))
    candidate = make_candidate(problem, list(codes.astype(float)), list(scales))
    assert (candidate.codes.dtype, candidate.scales.dtype) == (np.int8, np.float32)
    np.testing.assert_array_equal(candidate.codes[1, 1 * 3 + 2], codes[1, 1, 2])  # row r of group g is channel g R + r
    np.testing.assert_array_equal(candidate.scales[1, 1 * 3 + 2], np.float32(scales[1, 1, 2]))
    stored = candidate.scales.astype(np.float64)
    delta = (candidate.codes * stored[..., None]).sum(0).reshape(2, 3, 5) - problem.weight
    np.testing.assert_allclose(candidate.error, output_error(delta, problem.moment).ravel(), rtol=1e-12)


@pytest.mark.parametrize("floor", [0.0, 1e-45, 1e-39, 0.1, 0.7, 1e30])
def test_the_floor_is_a_scale_that_can_be_stored(floor: float):
    # Float32 rounds 0.1 up and 0.7 down.
    made = problem_of(np.zeros((1, 2, 3)), np.zeros((1, 3)), 4, floor).scale_floor
    stored = made.astype(np.float32)
    np.testing.assert_array_equal(stored, made)  # a scale at the floor is not rounded below it
    assert (made >= floor).all()
    assert (stored >= np.finfo(np.float32).tiny).all()  # normal: all 24 bits are there
    # No larger than need be: one step of float32.
    assert (made <= max(floor, float(np.finfo(np.float32).tiny)) * (1 + 2.0**-23)).all()


@pytest.mark.parametrize("groups", [1, 3])
def test_parts_of_rows_join_to_the_whole(groups: int):
    rng = np.random.default_rng(1)
    problem = problem_of(heavy_tailed(rng, groups, 7, 5), moment_of(rng.normal(size=(groups, 20, 5))), 4)
    whole = ALGORITHMS["nearest"].quantize(problem, 2)
    parts = [slice(0, 3), slice(3, 6), slice(6, 7)]
    made = (
        ALGORITHMS["nearest"].quantize(
            replace(problem, weight=problem.weight[:, p], scale_floor=problem.scale_floor[:, p]), 2
        )
        for p in parts
    )
    for ours, expected in zip(join_rows(made, groups, 7), whole, strict=True):
        np.testing.assert_array_equal(ours.codes, expected.codes)
        np.testing.assert_array_equal(ours.scales, expected.scales)
        np.testing.assert_allclose(ours.error, expected.error, rtol=1e-12)
