from __future__ import annotations

import math

import numpy as np
import pytest

from tests.support.rounding_problems import heavy_tailed, problem_of, reals
from tfmpq.algorithms.aciq import analytical_clip, laplace_clip, normal_clip, quantize_aciq
from tfmpq.algorithms.nearest import quantize_nearest

LIMITS = [1, 3, 7, 15, 127]


def expected_error(density: np.ndarray, values: np.ndarray, clip: float, limit: int) -> float:
    """Mean squared error of clipping at ``clip``, and of rounding to steps of it / limit within, by summation."""
    beyond = np.maximum(np.abs(values) - clip, 0.0) ** 2
    return float((density * beyond).sum() / density.sum()) + (clip / limit) ** 2 / 12


@pytest.mark.parametrize("limit", LIMITS)
@pytest.mark.parametrize("family", ["laplace", "normal"])
def test_closed_forms_minimize_the_expected_error(family: str, limit: int):
    values = np.linspace(-40, 40, 400_001)
    density = np.exp(-np.abs(values)) if family == "laplace" else np.exp(-(values**2) / 2)
    clip = laplace_clip(limit) if family == "laplace" else normal_clip(limit)
    # A minimum is flat: what its neighbours lose is of second order, and must be a loss all the same.
    around = [expected_error(density, values, clip * factor, limit) for factor in (0.98, 1.0, 1.02)]
    assert around[1] < around[0]
    assert around[1] < around[2]


def test_figures_of_the_paper():
    # It has 2^bits levels, step 2 clip / 2^bits: as 12 L^2 = 3 * 4^bits here, a limit of 2^(bits - 1).
    assert [laplace_clip(2 ** (bits - 1)) for bits in (2, 3, 4)] == pytest.approx([2.83, 3.89, 5.03], abs=0.01)
    assert [normal_clip(2 ** (bits - 1)) for bits in (2, 3, 4)] == pytest.approx([1.71, 2.15, 2.55], abs=0.01)


@pytest.mark.parametrize("family", ["laplace", "normal"])
def test_each_row_has_the_clip_of_the_likelier_distribution(family: str):
    rng = np.random.default_rng(0)
    rows = (rng.laplace(size=(1, 8, 4000)) if family == "laplace" else rng.normal(size=(1, 8, 4000))) * 3.0
    expected = 3.0 * (laplace_clip(7) if family == "laplace" else normal_clip(7))
    # Spread and mean magnitude of 4000 samples are known to 1.6 %, three times that is allowed.
    np.testing.assert_allclose(analytical_clip(rows, 7), expected, rtol=0.05)


def test_no_row_is_clipped_beyond_its_largest_weight():
    rows = np.array([[[1.0, -1.0, 1.0, -1.0], [0.0, 0.0, 0.0, 0.0]]])
    np.testing.assert_array_equal(analytical_clip(rows, 7), [[1.0, 0.0]])


def test_rows_keep_their_norm_about_their_mean():
    weight = heavy_tailed(np.random.default_rng(1), 2, 5, 64)
    found = reals(quantize_aciq(problem_of(weight, np.ones((2, 64)), 3), 1)[0], weight)
    np.testing.assert_allclose(found.std(axis=2), weight.std(axis=2), rtol=2.0**-23)  # float32 scales
    plain = reals(quantize_nearest(problem_of(weight, np.ones((2, 64)), 3), 1)[0], weight)
    assert np.abs(plain.std(axis=2) / weight.std(axis=2) - 1).max() > 0.05  # and would not have


def test_clipping_pays_where_tails_are_long():
    weight = np.random.default_rng(2).laplace(size=(1, 20, 1000))
    problem = problem_of(weight, np.ones((1, 1000)), 4)
    errors = [((reals(f(problem, 1)[0], weight) - weight) ** 2).mean() for f in (quantize_aciq, quantize_nearest)]
    assert errors[0] < 0.6 * errors[1]
    # What the theory expects, plus what restoring the norm costs (the square of a few percent of the norm).
    expected = 2 * math.exp(-laplace_clip(7)) + laplace_clip(7) ** 2 / (12 * 49)
    assert errors[0] < 1.2 * expected
