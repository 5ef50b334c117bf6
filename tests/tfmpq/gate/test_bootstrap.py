"""Samples drawn anew."""

from __future__ import annotations

import numpy as np
import pytest

from tfmpq.gate.bootstrap import FEWEST, bootstrap
from tfmpq.gate.measured import Estimate
from tfmpq.gate.paired import Z


def mean(sums: np.ndarray) -> np.ndarray:
    return sums[..., 0] / sums[..., 1]


def columns(values: np.ndarray) -> np.ndarray:
    return np.stack([values, np.ones(len(values))], 1)


@pytest.mark.parametrize("count", [2000, 9000])  # the latter are drawn in groups
def test_many_samples_have_the_normal_interval(count):
    values = np.random.default_rng(1).normal(3, 2, count)
    found = bootstrap(columns(values), mean, seed=0)
    assert found is not None
    half = Z * values.std(ddof=1) / np.sqrt(count)
    assert found.value == pytest.approx(values.mean())
    # 2,000 draws place a 5 % quantile to about 3 % of the half width.
    assert (found.value - found.low, found.high - found.value) == pytest.approx((half, half), rel=0.1)


def test_skewed_figures_of_few_samples_are_missed_as_often_as_is_said():
    missed = np.zeros(2)
    for seed in range(200):
        found = bootstrap(columns(np.random.default_rng(seed).gamma(0.3, 1, 100)), mean, seed=0)
        assert found is not None
        missed += [found.low > 0.3, found.high < 0.3]
    assert (missed <= 20).all()  # 10 are expected on each side; 20 or more come once in 300 times


def test_the_seed_decides_and_what_cannot_be_judged_is_not():
    values = np.random.default_rng(0).exponential(1, 200)
    first = bootstrap(columns(values), mean, seed=3)
    assert first == bootstrap(columns(values), mean, seed=3) != bootstrap(columns(values), mean, seed=4)
    assert bootstrap(columns(values[: FEWEST - 1]), mean, seed=0) is None
    values[7] = np.inf
    assert bootstrap(columns(values), mean, seed=0) is None
    for alike in (0.0, 0.1):  # figures that are all the same have no width, and say nothing of others
        assert bootstrap(columns(np.full(FEWEST, alike)), mean, seed=0) is None
    assert bootstrap(columns(np.zeros(FEWEST)), mean, seed=0, same=True) == Estimate(0, 0, 0)
