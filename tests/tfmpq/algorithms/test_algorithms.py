"""What holds for every algorithm."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from converters.errors import OptionError
from tests.support.rounding_problems import (
    MOMENTS,
    MomentKind,
    correlated_moment,
    few,
    heavy_tailed,
    moment_of_kind,
    problem_of,
    problems,
)
from tfmpq.algorithms import ALGORITHMS, Algorithm, Candidate, Problem, adaround, register_algorithm
from tfmpq.algorithms.assembly import assemble
from tfmpq.algorithms.problem import output_error


@pytest.fixture(autouse=True, scope="module")
def few_iterations():
    """What holds for every algorithm holds however far gradient descent comes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(adaround, "ITERATIONS", 20)
        yield


every = pytest.mark.parametrize("name", ALGORITHMS)


def check(problem: Problem, candidates: list[Candidate], max_points: int) -> None:
    """The contract of :class:`Candidate`."""
    groups, rows, columns = problem.weight.shape
    assert len(candidates) == max_points
    for points, candidate in enumerate(candidates, 1):
        assert candidate.codes.shape == (points, groups * rows, columns)
        # Ranges of codes, types, scales finite and above 0: checked by MultipointWeight.
        weight = assemble(candidates, np.full(groups * rows, points), problem.bits)
        assert (candidate.scales >= problem.scale_floor.reshape(-1)).all()
        delta = weight.reconstruct().reshape(problem.weight.shape) - problem.weight
        assert np.isfinite(candidate.error).all()
        assert (candidate.error >= 0).all()
        # Float64 sums of terms as large as the energy.
        slack = 1e-12 * output_error(np.abs(problem.weight) + np.abs(delta), np.abs(problem.moment)).reshape(-1)
        assert (np.abs(candidate.error - output_error(delta, problem.moment).reshape(-1)) <= slack).all()
        zero = ~problem.weight.any(axis=2).reshape(-1)
        assert not candidate.codes[:, zero].any()


@every
@few
@given(problem=problems(sizes=(1e-45, 1e-38, 1e-30, 1.0, 1e24)), max_points=st.integers(1, 4))
def test_candidates_are_sound(name: str, problem: Problem, max_points: int):
    check(problem, ALGORITHMS[name].quantize(problem, max_points), max_points)


@every
@pytest.mark.parametrize("kind", MOMENTS)
def test_sizes_of_weights_and_inputs_are_no_obstacle(name: str, kind: MomentKind):
    rng = np.random.default_rng(0)
    weight = heavy_tailed(rng, 2, 3, 6).astype(np.float32).astype(np.float64)
    moment = moment_of_kind(kind, rng, 2, 6)
    usual = ALGORITHMS[name].quantize(problem_of(weight, moment, 4), 2)
    for size in (0.0, 2.0**-149, 2.0**-126, 2.0**-100, 2.0**100):  # the first normal and denormal float32
        for inputs in (2.0**-140, 1.0, 2.0**140):  # beyond float32
            small = (weight * size).astype(np.float32).astype(np.float64)
            problem = problem_of(small, moment * inputs, 4)
            candidates = ALGORITHMS[name].quantize(problem, 2)
            check(problem, candidates, 2)
            if size >= 2.0**-100:  # where float32 has all its digits, only the unit differs
                for a, b in zip(candidates, usual, strict=True):
                    np.testing.assert_array_equal(a.codes, b.codes)
                    np.testing.assert_array_equal(a.scales, b.scales * np.float32(size))


@every
@pytest.mark.parametrize("bits", [2, 4, 8])
@pytest.mark.parametrize(("groups", "rows"), [(6, 1), (3, 2)])  # depthwise, and with a multiplier or groups
def test_groups_are_independent(name: str, bits: int, groups: int, rows: int):
    rng = np.random.default_rng(1)
    problem = problem_of(heavy_tailed(rng, groups, rows, 9), correlated_moment(rng, groups, 9), bits)
    together = ALGORITHMS[name].quantize(problem, 2)
    for g in range(groups):
        one = replace(
            problem,
            weight=problem.weight[g : g + 1],
            moment=problem.moment[g : g + 1],
            scale_floor=problem.scale_floor[g : g + 1],
        )
        channels = slice(g * rows, (g + 1) * rows)
        for a, b in zip(together, ALGORITHMS[name].quantize(one, 2), strict=True):
            np.testing.assert_array_equal(a.codes[:, channels], b.codes)
            # Scales refitted from float32 sums, which a library may order by the shape of the whole.
            np.testing.assert_allclose(a.scales[:, channels], b.scales, rtol=1e-5)


@every
def test_rows_are_independent_and_results_repeat(name: str):
    rng = np.random.default_rng(2)
    problem = problem_of(heavy_tailed(rng, 1, 6, 40), correlated_moment(rng, 1, 40), 3)
    first, again = (ALGORITHMS[name].quantize(problem, 3)[2] for _ in range(2))
    np.testing.assert_array_equal(first.codes, again.codes)
    np.testing.assert_array_equal(first.scales, again.scales)
    order = rng.permutation(6)
    other = ALGORITHMS[name].quantize(replace(problem, weight=problem.weight[:, order]), 3)[2]
    np.testing.assert_array_equal(other.codes, first.codes[:, order])
    np.testing.assert_allclose(other.scales, first.scales[:, order], rtol=1e-5)  # float32 sums, as above


@every
def test_the_problem_is_left_alone(name: str):
    rng = np.random.default_rng(3)
    problem = problem_of(heavy_tailed(rng, 2, 3, 8), correlated_moment(rng, 2, 8), 4)
    weight, moment = problem.weight.copy(), problem.moment.copy()
    ALGORITHMS[name].quantize(problem, 3)
    np.testing.assert_array_equal(problem.weight, weight)
    np.testing.assert_array_equal(problem.moment, moment)


@every
def test_only_radix_rows_use_the_lowest_code(name: str):
    # Greedy is the paper's and nearest the textbook's: both symmetric.
    problem = problem_of(np.array([[[-8.0, 7.0, 1.0, -3.0]]]), np.eye(4)[None], 4)
    assert (ALGORITHMS[name].quantize(problem, 1)[0].codes == -8).any() == ("radix" in name)


def test_a_registered_algorithm_is_found_and_a_name_is_taken_once(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("tfmpq.algorithms.ALGORITHMS", dict(ALGORITHMS))
    from tfmpq import algorithms

    mine = Algorithm(lambda problem, max_points: [], corrects_bias=False)
    register_algorithm("mine", mine)
    assert algorithms.ALGORITHMS["mine"] is mine
    with pytest.raises(OptionError, match="'mine' is already registered; choose another name"):
        register_algorithm("mine", mine)
    with pytest.raises(OptionError, match="'radix' is already registered"):
        register_algorithm("radix", mine)
    bare: Any = mine.quantize
    with pytest.raises(OptionError, match="takes a name and an Algorithm, not 'other' and"):
        register_algorithm("other", bare)
