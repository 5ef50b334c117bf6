"""Codes at given scales: never worse than the nearest, and as good as single moves can make them."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.rounding_problems import MOMENTS, MomentKind, correlated_moment, few, moment_of_kind
from tfmpq.algorithms.fixed_scale import FixedCodes, fixed_scale_codes
from tfmpq.algorithms.full_rows import damped
from tfmpq.algorithms.problem import output_error

_KINDS = [kind for kind in MOMENTS if kind != "diagonal"]  # that one is no matrix


def full_moment(kind: MomentKind, rng: np.random.Generator, columns: int) -> np.ndarray:
    return moment_of_kind(kind, rng, 1, columns)[0]


def errors(weight: np.ndarray, steps: np.ndarray, moment: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """Output error (R,) in the damped moment of columns in units of their steps."""
    scaled = damped((moment * steps[:, None] * steps)[None])
    return output_error((codes - weight / steps)[None], scaled)[0]


def problem(seed: int, rows: int, columns: int, kind: MomentKind) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Weights, steps of two matrices side by side, and a moment."""
    rng = np.random.default_rng(seed)
    steps = np.where(np.arange(columns) < columns // 2, 0.02, 0.3) * rng.lognormal()
    return rng.normal(size=(rows, columns)) * steps * 20, steps, full_moment(kind, rng, columns)


def check(found: FixedCodes, weight: np.ndarray, steps: np.ndarray, moment: np.ndarray, limit: int) -> None:
    nearest = np.clip(np.rint(weight / steps), -limit, limit)
    np.testing.assert_array_equal(found.nearest, nearest)
    assert np.abs(found.codes.astype(int)).max() <= limit
    before, after = (errors(weight, steps, moment, codes) for codes in (nearest, found.codes))
    # The moment is rounded to 40 bits or so.
    tiny = 1e-9 * (before + errors(weight, steps, moment, np.zeros_like(nearest)))
    assert (after <= before + tiny).all()
    assert (np.abs(found.error - after) <= tiny).all()
    assert (np.abs(found.nearest_error - before) <= tiny).all()


@few
@given(st.integers(0, 2**32 - 1), st.sampled_from(_KINDS), st.integers(1, 80), st.sampled_from([1, 7, 127]))
def test_never_worse_than_nearest(seed: int, kind: MomentKind, columns: int, limit: int):
    weight, steps, moment = problem(seed, 3, columns, kind)
    check(fixed_scale_codes(weight, steps, moment, limit), weight, steps, moment, limit)


@few
@given(st.integers(0, 2**32 - 1), st.sampled_from([1, 127]))
def test_one_column_is_rounded_to_nearest(seed: int, limit: int):
    weight, steps, moment = problem(seed, 8, 1, "full")
    found = fixed_scale_codes(weight, steps, moment, limit)
    np.testing.assert_array_equal(found.codes, np.clip(np.rint(weight / steps), -limit, limit))


def test_independent_columns_are_rounded_to_nearest():
    weight, steps, _ = problem(1, 6, 70, "full")
    moment = np.diag(np.random.default_rng(2).exponential(size=70) + 0.1)
    np.testing.assert_array_equal(fixed_scale_codes(weight, steps, moment, 127).codes, np.rint(weight / steps))


@few
@given(st.integers(0, 2**32 - 1), st.sampled_from(_KINDS), st.integers(2, 12))
def test_no_single_code_can_be_better(seed: int, kind: MomentKind, columns: int):
    weight, steps, moment = problem(seed, 2, columns, kind)
    found = fixed_scale_codes(weight, steps, moment, 127)
    least = errors(weight, steps, moment, found.codes)
    for column, move in product(range(columns), (-1, 1)):
        other = found.codes.astype(int)
        other[:, column] = np.clip(other[:, column] + move, -127, 127)
        # Ties within rounding of the moment stay as they are.
        assert (errors(weight, steps, moment, other) >= least * (1 - 1e-9)).all()


def test_tiny_problems_are_solved_as_by_trying_all():
    solved, total, ratios = 0, 0, []
    every = np.array(list(product(range(-2, 3), repeat=4)))
    for seed in range(40):
        rng = np.random.default_rng(seed)
        steps = np.array([0.5, 0.5, 2.0, 2.0])
        weight, moment = rng.normal(size=(1, 4)) * steps, correlated_moment(rng, 1, 4)[0]
        least = errors(np.broadcast_to(weight, every.shape), steps, moment, every).min()
        found = fixed_scale_codes(weight, steps, moment, 2).error[0]
        assert found >= least * (1 - 1e-9)
        solved += found <= least * (1 + 1e-9)
        total += 1
        ratios.append(found / least)
    assert solved >= 0.9 * total  # descent ends where no single code can move: 0.98 of these are solved
    assert np.mean(ratios) < 1.05  # 1.006 measured


def test_correlated_inputs_hide_much_of_the_error():
    rng = np.random.default_rng(3)
    steps = np.repeat([0.01, 0.02], 48)
    weight, moment = rng.normal(size=(40, 96)) * 0.3, correlated_moment(rng, 1, 96)[0]
    found = fixed_scale_codes(weight, steps, moment, 127)
    assert (found.error < found.nearest_error).all()
    assert found.error.sum() < 0.5 * found.nearest_error.sum()  # 0.28 measured


def test_units_do_not_matter():
    """Powers of two, so that the very same codes come out."""
    weight, steps, moment = problem(5, 4, 20, "full")
    units = np.ldexp(1.0, np.random.default_rng(6).integers(-20, 20, 20))
    plain = fixed_scale_codes(weight, steps, moment, 127)
    scaled = fixed_scale_codes(weight * units, steps * units, moment / units[:, None] / units, 127)
    np.testing.assert_array_equal(plain.codes, scaled.codes)
    np.testing.assert_array_equal(plain.error, scaled.error)


def test_moments_that_are_no_numbers_are_refused():
    weight, steps, moment = problem(0, 2, 4, "full")
    moment[1, 1] = np.inf
    with pytest.raises(ValueError, match="not finite"):
        fixed_scale_codes(weight, steps, moment, 127)
