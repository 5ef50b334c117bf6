"""Shrinkage against direct computation, and what it is for: covariances nearer the truth."""

from __future__ import annotations

import numpy as np
import pytest

from tfmpq.measure.shrinkage import Scatter, shrink, towards_mean


def scattered(samples: np.ndarray, shift: np.ndarray) -> tuple[Scatter, np.ndarray, np.ndarray]:
    """Sums of (n, P, d) samples about a point; their moment and mean about it."""
    moved = samples - shift
    moments = np.einsum("npi,npj->nij", moved, moved) / moved.shape[1]
    means = moved.mean(1)
    sums = Scatter(1, samples.shape[-1])
    for moment, mean in zip(moments, means, strict=True):
        sums.add(3 * moment[None], 3 * mean[None], 3)
    return sums, moments.mean(0)[None], means.mean(0)[None]


def images(count: int, positions: int, columns: int, seed: int = 0) -> np.ndarray:
    """Correlated, non-negative activations whose positions resemble each other."""
    rng = np.random.default_rng(seed)
    mixing = np.random.default_rng(9).normal(size=(columns, columns)) * 0.9 ** np.arange(columns)
    common = rng.normal(size=(count, 1, columns))
    return np.maximum((common + 0.5 * rng.normal(size=(count, positions, columns))) @ mixing + 0.5, 0)


# One position: exact up to float64 cancellation. Several: one term has an upper bound in its place, which matters by
# how far the point is from the mean.
@pytest.mark.parametrize(("positions", "tolerance"), [(1, 1e-9), (25, 0.05)])
@pytest.mark.parametrize("far", [False, True])
def test_the_variance_is_that_of_the_samples_moments(positions: int, tolerance: float, far: bool):
    samples = images(40, positions, 12)
    mean = samples.reshape(-1, 12).mean(0)
    sums, moment, offset = scattered(samples, samples[0].mean(0) if far else mean)
    centred = samples - mean
    each = np.einsum("npi,npj->nij", centred, centred) / positions
    expected = ((each - each.mean(0)) ** 2).sum() / (40 * 39)
    assert sums.variance(moment, offset)[0] == pytest.approx(expected, rel=tolerance)


def test_one_sample_tells_nothing_of_its_scatter():
    sums, moment, offset = scattered(images(1, 9, 5), np.zeros(5))
    assert sums.variance(moment, offset)[0] == 0


@pytest.mark.parametrize("target", ["identity", "positions"])
def test_few_samples_come_nearer_the_truth(target: str):
    """Means over positions in more dimensions than samples; the truth is known from many more of them."""
    columns = 48

    def covariance(samples: np.ndarray) -> np.ndarray:
        return np.cov(samples.reshape(-1, columns).T, bias=True)

    truth = covariance(images(20000, 9, columns, seed=1).mean(1))
    few = images(24, 9, columns)
    pooled = few.mean(1, keepdims=True)
    sums, moment, offset = scattered(pooled, pooled[0, 0])
    own = covariance(pooled)
    guess = None if target == "identity" else covariance(few)[None]
    mixed, share = shrink(own[None].copy(), sums.variance(moment, offset), guess)
    assert 0.05 < share[0] <= 1
    assert np.trace(mixed[0]) == pytest.approx(np.trace(own))
    # What was expected at least halfway comes true: the squared distance falls.
    assert ((mixed[0] - truth) ** 2).sum() < 0.9 * ((own - truth) ** 2).sum()
    assert np.linalg.eigvalsh(mixed[0]).min() > np.linalg.eigvalsh(own).min() - 1e-12


def test_many_samples_are_left_alone():
    samples = images(4000, 1, 6)
    sums, moment, offset = scattered(samples, samples[0, 0])
    assert shrink(np.cov(samples[:, 0].T)[None], sums.variance(moment, offset))[1][0] < 0.01


def test_inputs_that_never_change_stay_without_variance():
    samples = images(20, 1, 6)
    samples[:, :, 2] = 3.0
    sums, moment, offset = scattered(samples, samples[0, 0])
    mixed, share = shrink(np.cov(samples[:, 0].T, bias=True)[None], sums.variance(moment, offset))
    assert share[0] > 0.01
    np.testing.assert_allclose(mixed[0, 2], 0, atol=1e-12)


def test_constant_inputs_have_no_covariance_to_shrink():
    mixed, share = shrink(np.zeros((2, 3, 3)), np.zeros(2))
    np.testing.assert_array_equal(mixed, 0)
    np.testing.assert_array_equal(share, 0)


def test_towards_mean_takes_what_is_noise():
    rng = np.random.default_rng(0)
    truth = rng.normal(5, 1, 4000)
    noisy = truth + rng.normal(0, 2, 4000)
    found = towards_mean(noisy, np.full(4000, 4.0))
    assert found.mean() == pytest.approx(noisy.mean())
    # 1 of 1 + 4 parts of the spread are real: the squared error falls from 4 to 4/5.
    assert ((found - truth) ** 2).mean() == pytest.approx(0.8, rel=0.05)
    np.testing.assert_array_equal(towards_mean(np.full(5, 2.0), np.ones(5)), np.full(5, 2.0))
    np.testing.assert_array_equal(towards_mean(truth, np.zeros(1)), truth)
