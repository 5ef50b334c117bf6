"""What int8 makes of values, in one tensor and in two."""

from __future__ import annotations

import numpy as np
import pytest

from converters.rewriting.two_points import on_grid, step_of
from tfmpq.activations.two_points.narrow_range import (
    as_one,
    as_two,
    best_clipped,
    best_narrow,
    best_scaled,
    decibels,
    mean_square,
    spread,
)

RNG = np.random.default_rng(0)
USUAL = RNG.normal(size=(4000, 8))
FAR = USUAL * np.where(RNG.random((4000, 1)) < 0.01, 50, 1)
WHOLE = (float(FAR.min()), float(FAR.max()))


def test_one_tensor_rounds_and_saturates():
    found = as_one(np.array([0.0, 0.4, -7.0, 200.0]), (-128.0, 127.0))
    assert found.tolist() == [0, 0, -7, 127]
    assert as_one(np.array([1.0, 2.0]), (0.0, 0.0)).tolist() == [0, 0]


def test_two_tensors_round_most_values_finely_and_all_as_well_as_one():
    narrow = on_grid((-4.0, 4.0))
    error = np.abs(as_two(FAR, WHOLE, narrow) - FAR)
    inside = np.abs(FAR) < 3.9
    assert error[inside].max() <= step_of(narrow) / 2 * (1 + 1e-9)
    assert error.max() < 1.4 * step_of(WHOLE)  # half a step of x, and half a one 1.3 times and more as large


def test_the_best_narrow_range_covers_most_values():
    found = best_narrow(FAR, WHOLE)
    assert 2 < found.range[1] < 10
    assert found.noise == mean_square(as_two(FAR, WHOLE, found.range) - FAR)
    # 256 times less inside, one value of a hundred outside: 1 / (1/256 + 3/100) or so
    assert decibels(mean_square(FAR - as_one(FAR, WHOLE)), found.noise) > 12


def test_nothing_cheaper_mends_rare_values():
    noise = mean_square(FAR - as_one(FAR, WHOLE))
    assert best_clipped(FAR, WHOLE) > noise / 2
    assert best_scaled(FAR) > noise / 4
    channels = USUAL * np.array([1, 1, 1, 1, 1, 1, 1, 50.0])
    assert best_scaled(channels) < 0.2 * mean_square(channels - as_one(channels, WHOLE))


def test_spread_leaves_out_rare_values():
    assert spread(USUAL) == pytest.approx(USUAL.var(), rel=0.15)
    assert spread(FAR) == pytest.approx(spread(USUAL), rel=0.15)  # their variance is 25 times as large
    assert FAR.var() > 10 * USUAL.var()
