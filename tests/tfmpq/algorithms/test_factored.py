"""Factored moments: the same errors and codes as the whole matrix gives."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.support.rounding_problems import heavy_tailed, matrix, problem_of
from tfmpq.algorithms import ALGORITHMS, Problem
from tfmpq.algorithms.factored import Factored
from tfmpq.algorithms.problem import output_error


def factored(rng: np.random.Generator, groups: int, samples: int, columns: int, own: float) -> Factored:
    """Of correlated, non-negative inputs as after a ReLU, some of them dead."""
    mixing = rng.normal(size=(groups, columns, columns)) / np.sqrt(columns)
    inputs = np.maximum(rng.normal(0.5, 1.0, (groups, samples, columns)) @ mixing + 0.3, 0.0)
    inputs[:, :, rng.random(columns) < 0.1] = 0.0
    return Factored.of(np.full((groups, columns), own), (inputs / np.sqrt(samples)).astype(np.float32))


# More columns than samples, and fewer; blocks of 64 columns and slices of 1024 that end in the middle.
@pytest.mark.parametrize(
    ("groups", "rows", "samples", "columns", "own", "bits"),
    [(1, 20, 12, 150, 0.02, 4), (2, 5, 40, 70, 0.0, 4), (1, 3, 90, 40, 0.1, 8), (1, 4, 25, 1100, 0.05, 2)],
)
def test_codes_are_those_of_the_whole_moment(groups: int, rows: int, samples: int, columns: int, own: float, bits: int):
    rng = np.random.default_rng(columns)
    moment = factored(rng, groups, samples, columns, own)
    weight = heavy_tailed(rng, groups, rows, columns)
    whole = problem_of(weight, matrix(moment), bits)
    same = Problem(weight, moment, bits, whole.scale_floor)
    for algorithm in ("radix", "nearest_radix"):
        ours, expected = (ALGORITHMS[algorithm].quantize(problem, 2) for problem in (same, whole))
        for a, b in zip(ours, expected, strict=True):
            # Both round what they multiply, each its own way: a tie may fall otherwise (none measured).
            assert (a.codes == b.codes).all(axis=2).mean() > 0.9
            np.testing.assert_allclose(a.error.sum(), b.error.sum(), rtol=1e-3)
    delta = rng.normal(size=weight.shape)
    np.testing.assert_allclose(output_error(delta, moment), output_error(delta, matrix(moment)), rtol=1e-9)


def test_rows_may_come_in_parts():
    rng = np.random.default_rng(1)
    moment = factored(rng, 1, 30, 90, 0.05)
    problem = Problem(heavy_tailed(rng, 1, 10, 90), moment, 4, np.zeros((1, 10)))
    for name, algorithm in ALGORITHMS.items():
        if not algorithm.by_rows:
            continue
        whole, shared = algorithm.quantize(problem, 2), {}
        for part in (slice(0, 3), slice(3, 10)):
            some = replace(problem, weight=problem.weight[:, part], scale_floor=problem.scale_floor[:, part])
            found = algorithm.quantize(replace(some, shared=shared), 2)
            for a, b in zip(found, whole, strict=True):
                np.testing.assert_array_equal(a.codes, b.codes[:, part], err_msg=name)
                np.testing.assert_array_equal(a.scales, b.scales[:, part], err_msg=name)


def test_feedback_uses_what_few_samples_show():
    rng = np.random.default_rng(2)
    moment = factored(rng, 1, 20, 300, 0.01)
    problem = Problem(heavy_tailed(rng, 1, 16, 300), moment, 4, np.zeros((1, 16)))
    feedback, nearest = (ALGORITHMS[name].quantize(problem, 1)[0] for name in ("radix", "nearest_radix"))
    assert feedback.error.sum() < 0.6 * nearest.error.sum()  # 0.29 measured


def test_a_moment_that_is_not_finite_is_refused():
    moment = Factored(np.full((1, 4), np.nan), np.zeros((1, 2, 4), np.float32))
    with pytest.raises(ValueError, match="not finite"):
        ALGORITHMS["radix"].quantize(Problem(np.ones((1, 2, 4)), moment, 4, np.zeros((1, 2))), 1)
