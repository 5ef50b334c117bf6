"""The predicted noise and its slope, and factors that make it least."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.rounding_problems import few
from tfmpq.activations.equalization.descent import Bounds, best_factors, predicted_noise
from tfmpq.activations.equalization.noise_model import ActivationScale, NoiseModel, Rounding

FREE = 6  # variables beside the fixed one


def random_model(seed: int, *, bits: int = 4, spread: float = 2.0) -> NoiseModel:
    rng = np.random.default_rng(seed)
    variables = np.arange(1, FREE + 1)
    size = np.exp(rng.normal(0, spread, FREE))
    scale = ActivationScale(variables, -size * rng.random(FREE), size, variables, rng.random(FREE) / size**2)
    mixed = np.array([0, 1, 2, 3])
    frozen = ActivationScale(mixed, np.zeros(4), rng.random(4) + 0.5, mixed, rng.random(4))
    rows = rng.random((1, 5, FREE)) / size
    rounding = Rounding(variables[None], rows, (size**2)[None], bits, rng.random((1, 5)), np.zeros((1, 5), bool))
    return NoiseModel(FREE + 1, [scale, frozen], [rounding])


def no_bounds() -> Bounds:
    return Bounds(np.zeros(FREE + 1), np.full(FREE + 1, np.inf))


@pytest.mark.parametrize("bits", [4, 8])
@few
@given(seed=st.integers(0, 1000))
def test_the_slope_is_that_of_the_noise(seed: int, bits: int) -> None:
    model = random_model(seed, bits=bits)
    rng = np.random.default_rng(seed)
    log = rng.normal(size=model.count)
    log[0] = 0
    found = predicted_noise(model, np.exp(log), power=8)
    for variable in range(1, model.count):
        sides = []
        for shift in (-1e-5, 1e-5):
            moved = log.copy()
            moved[variable] += shift
            sides.append(predicted_noise(model, np.exp(moved), power=8).total)
        slope = (sides[1] - sides[0]) / 2e-5
        # Central differences of a smooth function in float64.
        assert found.up[variable] - found.down[variable] == pytest.approx(slope, rel=1e-4, abs=1e-6 * found.total)


@few
@given(seed=st.integers(0, 1000))
def test_one_factor_for_all_channels_changes_nothing(seed: int) -> None:
    model = random_model(seed)
    alone = NoiseModel(model.count, model.scales[:1], model.roundings)
    factors = np.full(model.count, 3.0)
    same = predicted_noise(alone, np.ones(model.count)).total
    assert predicted_noise(alone, factors).total == pytest.approx(same)


@few
@given(seed=st.integers(0, 1000), bits=st.sampled_from([2, 4, 8]))
def test_the_best_factors_are_no_worse_than_none_or_than_others_near(seed: int, bits: int) -> None:
    model = random_model(seed, bits=bits, spread=1.0)  # channels a factor of ten apart
    best = best_factors(model, no_bounds())
    assert best[0] == 1
    total = predicted_noise(model, best).total
    assert total <= predicted_noise(model, np.ones(model.count)).total * (1 + 1e-6)
    rng = np.random.default_rng(seed)
    for size in (0.3, 1.0):
        near = best * np.exp(rng.normal(0, size, model.count))
        near[0] = 1
        # The descent ends within a small step of the least value, which is flat; convex, so that no other is lower.
        assert total <= 1.03 * predicted_noise(model, near).total


def test_equal_channels_of_different_size_get_equal_size() -> None:
    size = np.array([1.0, 10.0, 100.0])
    variables = np.arange(1, 4)
    scale = ActivationScale(variables, -size, size, variables, 1 / size**2)
    best = best_factors(NoiseModel(4, [scale], []), Bounds(np.zeros(4), np.full(4, np.inf)))
    scaled = best[1:] * size
    np.testing.assert_allclose(scaled, scaled.mean(), rtol=0.05)  # the grid's steps are 4 %


def test_bounds_hold() -> None:
    model = random_model(0)
    lower, upper = np.zeros(model.count), np.full(model.count, np.inf)
    lower[2] = upper[2] = 1
    upper[3] = 1.1
    best = best_factors(model, Bounds(lower, upper))
    assert best[2] == 1
    assert best[3] <= 1.1 * (1 + 1e-12)


def test_rows_on_a_grid_lose_nothing_until_their_columns_are_scaled_apart() -> None:
    model = random_model(0, bits=8)
    (rounding,) = model.roundings
    two = np.array([[True, True, False, False, False]])
    model = replace(model, roundings=[replace(rounding, on_grid=two)])
    even, apart = np.ones(model.count), np.ones(model.count)
    apart[1] = 2.0
    whole, left = (predicted_noise(model, even, grids=grids).weights[0] for grids in (False, True))
    alone = replace(model, roundings=[replace(rounding, weights=rounding.weights * two)])
    assert left == pytest.approx(whole - predicted_noise(alone, even).weights[0])
    assert 0 < left < whole
    assert predicted_noise(model, apart, grids=True).total == predicted_noise(model, apart).total


def test_dead_channels_and_empty_layers_are_no_trouble() -> None:
    variables = np.arange(1, 3)
    dead = ActivationScale(variables, np.zeros(2), np.zeros(2), variables, np.ones(2))
    rounding = Rounding(
        variables[None], np.zeros((1, 2, 2)), np.zeros((1, 2)), 4, np.ones((1, 2)), np.zeros((1, 2), bool)
    )
    best = best_factors(NoiseModel(3, [dead], [rounding]), Bounds(np.zeros(3), np.full(3, np.inf)))
    assert np.isfinite(best).all()
    assert predicted_noise(NoiseModel(3, [dead], [rounding]), best).total == 0


def test_variables_change_the_terms_they_have_a_part_in_and_no_others() -> None:
    rng = np.random.default_rng(0)
    first, second = random_model(1), random_model(2)
    apart = [replace(s, variables=s.variables + FREE, noisy=s.noisy + FREE) for s in second.scales[:1]]
    roundings = [*first.roundings, *(replace(r, variables=r.variables + FREE) for r in second.roundings)]
    model = NoiseModel(2 * FREE + 1, [*first.scales, *apart], roundings)
    factors = np.exp(rng.normal(size=model.count))
    factors[0] = 1.0
    changed = factors.copy()
    changed[2] = 1.0
    part = model.part_of(np.array([2]))
    assert (len(part.scales), len(part.roundings)) == (2, 1)
    whole, own = (predicted_noise(m, factors).total - predicted_noise(m, changed).total for m in (model, part))
    assert own == pytest.approx(whole, rel=1e-9)
