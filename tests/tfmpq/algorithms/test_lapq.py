from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.rounding_problems import heavy_tailed, many, problem_of, problems, reals
from tfmpq.algorithms import Evidence, Problem
from tfmpq.algorithms.lapq import POWERS, norm_scale, quantize_lapq
from tfmpq.algorithms.nearest import quantize_nearest


def norms(problem: Problem, rows: np.ndarray, power: float) -> np.ndarray:
    return (np.abs(rows - problem.weight) ** power).sum(axis=2)


@many
@given(problem=problems(), power=st.sampled_from(POWERS))
def test_clips_beat_the_full_range_in_their_norm(problem: Problem, power: float):
    known = replace(problem, evidence=Evidence(parameter=power))
    ours, plain = (reals(f(known, 1)[0], problem.weight) for f in (quantize_lapq, quantize_nearest))
    norm = norms(problem, plain, power)
    assert (norms(problem, ours, power) <= norm * (1 + 1e-12)).all()


@pytest.mark.parametrize("power", POWERS)
def test_no_scale_is_much_better(power: float):
    weight = heavy_tailed(np.random.default_rng(0), 1, 20, 60)
    problem = problem_of(weight, np.ones((1, 60)), 4)
    scale = norm_scale(weight, 7, problem.scale_floor, power)

    def error(step: np.ndarray) -> np.ndarray:
        codes = np.clip(np.rint(weight / step[..., None]), -7, 7)
        return norms(problem, codes * step[..., None], power)

    best = np.min([error(np.abs(weight).max(axis=2) / 7 * ratio) for ratio in np.linspace(0.2, 1.0, 2000)], axis=0)
    # The norm jumps where a weight changes its code; the search's scales are 1.5 % apart (10 % measured at most).
    assert (error(scale) <= 1.15 * best).all()
    assert error(scale).sum() <= 1.05 * best.sum()


def test_a_larger_p_clips_less():
    weight = heavy_tailed(np.random.default_rng(1), 1, 50, 200)
    floor = np.zeros((1, 50))
    means = [float((norm_scale(weight, 7, floor, p) / np.abs(weight).max(axis=2)).mean()) for p in POWERS]
    assert means == sorted(means)
    assert means[-1] > 1.1 * means[0]


def test_without_the_networks_loss_it_is_least_squares():
    problem = problem_of(heavy_tailed(np.random.default_rng(2), 1, 5, 40), np.ones((1, 40)), 4)
    two = quantize_lapq(replace(problem, evidence=Evidence(parameter=2.0)), 1)[0]
    four = quantize_lapq(replace(problem, evidence=Evidence(parameter=4.0)), 1)[0]
    found = quantize_lapq(problem, 1)[0]
    np.testing.assert_array_equal(found.scales, two.scales)
    assert (found.scales != four.scales).any()
