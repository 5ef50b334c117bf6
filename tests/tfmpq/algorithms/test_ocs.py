from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given

from converters.points import merge
from tests.support.rounding_problems import heavy_tailed, many, problem_of, problems, reals, stored_rounding
from tfmpq.algorithms import Problem
from tfmpq.algorithms.assembly import assemble
from tfmpq.algorithms.nearest import quantize_nearest
from tfmpq.algorithms.ocs import outlier_columns, quantize_ocs, split_columns


@many
@given(problems())
def test_the_copies_of_a_weight_add_up_to_its_nearest_code(problem: Problem):
    candidate = quantize_ocs(problem, 2)[1]
    first, second = candidate.codes.astype(int)
    np.testing.assert_array_equal(candidate.scales[0], candidate.scales[1])
    weight = problem.weight.reshape(first.shape)
    steps = weight / candidate.scales[0].astype(np.float64)[:, None]
    limit = 2 ** (problem.bits - 1) - 1
    # A weight halfway between two codes may go to either; on a floor above its range it may be cut at the copies' own.
    assert (np.abs(first + second - np.clip(steps, -2 * limit, 2 * limit)) <= 0.5 + 1e-6).all()
    assert (np.abs(first - second)[second != 0] <= 1).all()  # halves, a step apart at most


def test_the_rounding_error_is_that_of_a_grid_of_the_columns_left():
    weight = heavy_tailed(np.random.default_rng(0), 1, 6, 40)
    problem = problem_of(weight, np.ones((1, 40)), 4)
    split = outlier_columns(weight[0])
    assert split.sum() == 4  # a tenth
    candidate = quantize_ocs(problem, 2)[1]
    reach = np.where(split, np.abs(weight) / 2, np.abs(weight)).max(axis=2)
    bound = reach[..., None] / 7 / 2 + np.sqrt(stored_rounding(weight))[..., None]
    assert (np.abs(reals(candidate, weight) - weight) <= bound).all()
    assert split_columns(candidate.codes[1]) <= 4
    assert not candidate.codes[1][:, ~split].any()


def test_the_columns_with_the_outliers_are_split():
    rng = np.random.default_rng(1)
    weight = rng.uniform(-1, 1, (1, 8, 30))
    outliers = [3, 17, 22]
    weight[:, :, outliers] = rng.choice([-1.9, 1.9], (1, 8, 3))
    assert np.flatnonzero(outlier_columns(weight[0])).tolist() == outliers
    problem = problem_of(weight, np.ones((1, 30)), 4)
    split, plain = (
        ((reals(f(problem, 2)[i], weight) - weight) ** 2).sum() for f, i in ((quantize_ocs, 1), (quantize_nearest, 0))
    )
    assert split < 0.4 * plain  # half the step


@pytest.mark.parametrize("bits", [3, 4, 7])
def test_two_points_merge_into_one_int8_row(bits: int):
    problem = problem_of(heavy_tailed(np.random.default_rng(2), 1, 5, 30), np.ones((1, 30)), bits)
    weight = assemble(quantize_ocs(problem, 2), np.full(5, 2), bits)
    merged = merge(weight)
    assert merged is not None
    assert np.abs(merged.codes).max() > 2 ** (bits - 1) - 1  # beyond what one point holds


def test_one_point_is_plain_rounding():
    problem = problem_of(heavy_tailed(np.random.default_rng(3), 2, 3, 9), np.ones((2, 9)), 4)
    ours, plain = quantize_ocs(problem, 2)[0], quantize_nearest(problem, 1)[0]
    np.testing.assert_array_equal(ours.codes, plain.codes)
    np.testing.assert_array_equal(ours.scales, plain.scales)
