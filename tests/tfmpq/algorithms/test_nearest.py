from __future__ import annotations

import numpy as np
from hypothesis import given

from tests.support.rounding_problems import (
    heavy_tailed,
    many,
    problem_of,
    problems,
    reals,
    stored_rounding,
    weight_residuals,
)
from tfmpq.algorithms import Problem
from tfmpq.algorithms.nearest import quantize_nearest


def test_is_plain_symmetric_rounding():
    weight = heavy_tailed(np.random.default_rng(0), 1, 6, 40)
    candidate = quantize_nearest(problem_of(weight, np.ones((1, 40)), 4), 1)[0]
    scale = (np.abs(weight[0]).max(axis=1) / 7).astype(np.float32)
    np.testing.assert_array_equal(candidate.scales[0], scale)
    np.testing.assert_array_equal(candidate.codes[0], np.rint(weight[0] / scale[:, None]))
    assert np.abs(candidate.codes).max() == 7


@many
@given(problems(sizes=(1e-30, 1.0, 1e30)))
def test_the_weight_residual_never_grows(problem: Problem):
    residual = weight_residuals(quantize_nearest(problem, 4), problem.weight)
    # Never at all but for float64: rounding to nearest takes no weight farther from its value than 0 is.
    slack = 1e-12 * (problem.weight**2).sum(axis=2)
    assert (np.diff(residual, axis=0) <= slack).all()
    assert (residual[0] <= (problem.weight**2).sum(axis=2) + slack).all()


def test_every_point_rounds_what_the_points_before_it_left():
    weight = heavy_tailed(np.random.default_rng(1), 1, 5, 30)
    candidates = quantize_nearest(problem_of(weight, np.ones((1, 30)), 3), 4)
    bound = np.abs(weight).max(axis=2, keepdims=True)
    for candidate in candidates:
        bound = bound / 3 / 2  # half a step of a grid of +-3 over the residual
        slack = np.sqrt(stored_rounding(weight))[..., None]
        assert (np.abs(reals(candidate, weight) - weight) <= bound + slack).all()
