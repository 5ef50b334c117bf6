from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given

from converters.points import grid_limits, merge
from tests.support.rounding_problems import (
    correlated_moment,
    heavy_tailed,
    many,
    problem_of,
    problems,
    reals,
    weight_residuals,
)
from tfmpq.algorithms import ALGORITHMS, Candidate, Problem
from tfmpq.algorithms.assembly import assemble
from tfmpq.algorithms.full_rows import FullMoment, FullRows, damped
from tfmpq.algorithms.problem import output_error
from tfmpq.algorithms.radix import clip_search, nearest_codes, quantize_nearest_radix, quantize_radix, unclipped_step


def damped_errors(problem: Problem, candidates: list[Candidate]) -> np.ndarray:
    """(points, G, R): what the algorithms minimize."""
    moment = damped(problem.moment)
    return np.stack([output_error(reals(c, problem.weight) - problem.weight, moment) for c in candidates])


def rounding_noise(problem: Problem) -> np.ndarray:
    """(G, R): damped output error that float32 and its scales may cause by themselves, generously.

    A few units of 2^-24 of the clip or of the row's scale make an error of (2^-24)^2 of the output energy of the
    magnitudes; 100 is for several of them and for weights that cancel.
    """
    magnitude = np.abs(damped(problem.moment))
    return 100 * 2.0**-48 * output_error(np.maximum(np.abs(problem.weight), problem.scale_floor[..., None]), magnitude)


def test_noise_to_signal_is_that_of_the_method():
    # Measured for the design on heavy-tailed rows of 576 weights at 4 bits: -15.5 dB with one point, -23.9 with two
    # greedy ones, -37.2 with two on the radix grid, -38.2 for int8. Means over 64 of these rows differ by up to 1.5 dB
    # between seeds, and the design's rows were others; the cases are farther apart.
    weight = heavy_tailed(np.random.default_rng(1), 1, 64, 576)

    def noise(algorithm: str, bits: int, points: int) -> float:
        candidates = ALGORITHMS[algorithm].quantize(problem_of(weight, np.ones((1, 576)), bits), points)
        ratio = weight_residuals(candidates, weight)[-1] / (weight**2).sum(axis=2)
        return 10 * np.log10(ratio.mean())

    assert noise("nearest_radix", 4, 1) == pytest.approx(-15.5, abs=1.5)
    assert noise("greedy", 4, 2) == pytest.approx(-23.9, abs=1.5)
    assert noise("nearest_radix", 4, 2) == pytest.approx(-37.2, abs=1.5)
    assert noise("nearest_radix", 8, 1) == pytest.approx(-38.2, abs=1.5)


@many
@given(problems(sizes=(1e-30, 1.0, 1e24)))  # four 8-bit points span 255^3 within float32
def test_output_error_never_grows_with_points_and_feedback(problem: Problem):
    nearest = damped_errors(problem, quantize_nearest_radix(problem, 4))
    feedback = damped_errors(problem, quantize_radix(problem, 4))
    noise = rounding_noise(problem)
    assert (np.diff(nearest, axis=0) <= noise).all()
    assert (np.diff(feedback, axis=0) <= noise).all()
    assert (feedback <= nearest + noise).all()


def test_feedback_is_worth_it():
    rng = np.random.default_rng(1)
    problem = problem_of(heavy_tailed(rng, 1, 32, 96), correlated_moment(rng, 1, 96), 4)
    nearest = damped_errors(problem, quantize_nearest_radix(problem, 2)).sum(axis=(1, 2))
    feedback = damped_errors(problem, quantize_radix(problem, 2)).sum(axis=(1, 2))
    assert (feedback < 0.8 * nearest).all()  # 0.51 to 0.68 measured over five seeds


@pytest.mark.parametrize("algorithm", ["radix", "nearest_radix"])
@pytest.mark.parametrize("bits", [2, 3, 4, 5, 6, 7])
def test_one_point_uses_the_full_range(algorithm: str, bits: int):
    low, high = grid_limits(bits, 1)
    values = np.arange(low, high + 1)
    weight = 0.125 * values[None, None].astype(float)
    columns = len(values)
    problem = problem_of(weight, correlated_moment(np.random.default_rng(2), 1, columns), bits)
    candidate = ALGORITHMS[algorithm].quantize(problem, 1)[0]
    np.testing.assert_array_equal(candidate.codes[0, 0], values)
    np.testing.assert_array_equal(reals(candidate, weight), weight)


@pytest.mark.parametrize("algorithm", ["radix", "nearest_radix"])
@pytest.mark.parametrize(("bits", "points"), [(2, 2), (2, 4), (3, 2), (4, 2), (5, 2), (6, 2), (7, 2), (5, 3), (8, 2)])
def test_numbers_of_a_grid_are_represented_exactly(algorithm: str, bits: int, points: int):
    low, high = grid_limits(bits, points)
    rng = np.random.default_rng(3)
    values = np.concatenate([rng.integers(low, high + 1, 30), [low, high]]).astype(float)
    weight = values[None, None] / 1024
    candidate = ALGORITHMS[algorithm].quantize(problem_of(weight, correlated_moment(rng, 1, 32), bits), points)[-1]
    # Float32: one part in 2^24 of the largest number, a few times. A single wrong step of a grid of at most
    # 255^2 numbers is over 100 times as much.
    np.testing.assert_allclose(reals(candidate, weight), weight, rtol=0, atol=4 * 2.0**-24 * np.abs(weight).max())


@pytest.mark.parametrize(("bits", "points"), [(2, 2), (2, 3), (2, 4), (3, 2), (4, 2), (5, 2), (6, 2), (7, 2)])
def test_rows_of_several_points_are_int8_rows(bits: int, points: int):
    rng = np.random.default_rng(4)
    problem = problem_of(heavy_tailed(rng, 2, 8, 12), correlated_moment(rng, 2, 12), bits)
    candidates = quantize_radix(problem, points)
    counts = rng.integers(1, points + 1, 16)
    weight = assemble(candidates, counts, bits)
    merged = merge(weight)
    assert merged is not None
    np.testing.assert_array_equal(merged.scale.astype(float)[:, None] * merged.codes, weight.reconstruct())


def test_clips_where_it_pays():
    rng = np.random.default_rng(5)
    weight, moment = heavy_tailed(rng, 1, 40, 100), damped(correlated_moment(rng, 1, 100))
    none, widest = np.zeros((1, 40)), unclipped_step(weight, -8, 7)

    def error(step: np.ndarray, low: int, high: int) -> np.ndarray:
        return output_error(nearest_codes(weight, step, low, high) * step[..., None] - weight, moment)

    rows = FullRows.of(weight, FullMoment.of(moment))
    found = clip_search(rows, widest, none, -8, 7)
    # 0.86 to 0.93 and 0.56 to 0.71 measured over five seeds.
    assert np.median(found / widest) < 0.95
    assert (error(found, -8, 7) / error(widest, -8, 7)).mean() < 0.8
    # The error is a ragged function of the scale: 14 scales end 14 to 20 % above the best of 150.
    scan = np.min([error(widest * ratio, -8, 7) for ratio in np.geomspace(0.3, 1.1, 150)], axis=0)
    assert (error(found, -8, 7) / scan).mean() < 1.25
    held = clip_search(rows, widest, 3 * widest, -8, 7)
    assert (held >= 3 * widest).all()
    assert (held == 3 * widest).any()


def test_scales_are_refitted_to_the_codes():
    rng = np.random.default_rng(8)
    weight, full = heavy_tailed(rng, 2, 20, 30), correlated_moment(rng, 2, 30)
    for moment in (full, np.einsum("gdd->gd", full)):
        problem = problem_of(weight, moment, 4)
        for points, candidate in enumerate(quantize_nearest_radix(problem, 2), 1):
            real, target = reals(candidate, weight), damped(problem.moment)
            best = output_error(real - weight, target)
            for factor in (1 - 1e-5, 1 + 1e-5):
                # At the minimum a change of 1e-5 costs 1e-10 of the energy; float32 leaves the scale 6e-8 off it.
                assert (output_error(factor * real - weight, target) > best).all(), points


def test_an_outlier_that_no_input_reaches_is_clipped():
    # Weight error says: keep the outlier, at the price of all other weights. Output error knows better.
    weight = np.random.default_rng(6).normal(size=(1, 1, 40))
    weight[0, 0, 0] = 30.0
    seen, unseen = np.ones((1, 40)), np.ones((1, 40))
    unseen[0, 0] = 1e-6
    by_weight = quantize_nearest_radix(problem_of(weight, seen, 4), 1)[0]
    by_output = quantize_nearest_radix(problem_of(weight, unseen, 4), 1)[0]
    assert abs(reals(by_weight, weight)[0, 0, 0] - 30) < 2
    assert reals(by_output, weight)[0, 0, 0] < 25
    costs = [output_error(reals(c, weight) - weight, unseen) for c in (by_output, by_weight)]
    assert costs[0] < 0.5 * costs[1]


def test_without_a_full_moment_there_is_no_feedback():
    rng = np.random.default_rng(7)
    problem = problem_of(heavy_tailed(rng, 2, 4, 20), rng.exponential(size=(2, 20)), 4)
    for a, b in zip(quantize_radix(problem, 2), quantize_nearest_radix(problem, 2), strict=True):
        np.testing.assert_array_equal(a.codes, b.codes)
        np.testing.assert_array_equal(a.scales, b.scales)
