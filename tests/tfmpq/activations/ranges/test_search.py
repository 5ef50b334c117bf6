"""Chosen ranges against what int8 really makes of the values."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

hypothesis = pytest.importorskip("hypothesis")
from hypothesis import given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

from tfmpq.activations.ranges.search import BINS, Histogram, best_range, bin_centers, bin_numbers, error_of  # noqa: E402

some = settings(max_examples=60, deadline=None, derandomize=True)


def histogram_of(values: np.ndarray, weights: np.ndarray | None = None) -> Histogram:
    top = float(np.abs(values).max())
    weights = np.ones(values.size) if weights is None else weights
    counts = np.bincount(bin_numbers(values, top), np.where(values != 0, weights, 0), 2 * BINS)
    return Histogram(top, counts, counts)


def ends(values: np.ndarray) -> tuple[float, float]:
    return min(float(values.min()), 0.0), max(float(values.max()), 0.0)


def int8_error(values: np.ndarray, low: float, high: float, weights: np.ndarray | float = 1.0) -> float:
    scale = (high - low) / 255
    zero = np.rint(-128 - low / scale)
    codes = np.clip(np.rint(values / scale) + zero, -128, 127)
    return float((weights * (values - scale * (codes - zero)) ** 2).sum())


@st.composite
def tensors(draw: st.DrawFn) -> np.ndarray:
    """Bulk and tails of all kinds, on one or both sides of zero, some of them with many zeros."""
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    tails = draw(st.sampled_from([1.5, 2.5, 5.0, 50.0]))
    values = random.standard_t(tails, 20000) + draw(st.floats(-3, 3))
    if draw(st.booleans()):
        values = np.maximum(values, draw(st.sampled_from([0.0, -0.3])) * np.abs(values))
    if draw(st.booleans()):
        values[random.random(values.size) < 0.7] = 0
    return (values * 10 ** draw(st.floats(-6, 6))).astype(np.float32).astype(np.float64)


@some
@given(values=tensors(), caution=st.sampled_from([1.0, 4.0, 16.0]))
def test_int8_is_never_worse_than_with_all_values_covered(values: np.ndarray, caution: float):
    low, high = ends(values)
    chosen = best_range(histogram_of(values), low, high, caution=caution)
    assert low <= chosen[0] <= 0 <= chosen[1] <= high
    # Rounding errors are taken to be spread evenly over a step; of 20000 values they are to a few per cent.
    assert int8_error(values, *chosen) <= 1.02 * int8_error(values, low, high)


@some
@given(values=tensors())
def test_the_predicted_error_is_that_of_int8(values: np.ndarray):
    low, high = ends(values)
    for share in (1.0, 0.5):
        predicted = error_of(histogram_of(values), low * share, high * share)
        # Rounding errors beyond half a step are taken for evenly spread, and values for the middle of their bins.
        assert predicted == pytest.approx(int8_error(values, low * share, high * share), rel=0.15)


@some
@given(values=tensors(), factor=st.floats(-9, 9))
def test_scaling_a_tensor_scales_its_range(values: np.ndarray, factor: float):
    scale = 10**factor
    found = best_range(histogram_of(values), *ends(values))
    scaled = best_range(histogram_of(values * scale), *ends(values * scale))
    np.testing.assert_allclose(np.array(scaled) / scale, found, rtol=1e-6)  # float32 bins


@some
@given(values=tensors())
def test_more_caution_clips_less(values: np.ndarray):
    low, high = ends(values)
    chosen = [best_range(histogram_of(values), low, high, caution=caution) for caution in (1.0, 4.0, 16.0, 1e9)]
    clipped = [float(((values - np.clip(values, *span)) ** 2).sum()) for span in chosen]
    # Where two ranges are alike in the histogram, the values decide; a thousandth of the energy is none.
    assert all(b <= a + 1e-3 * float((values**2).sum()) for a, b in pairwise(clipped))
    assert int8_error(values, *chosen[-1]) <= 1.02 * int8_error(values, low, high)


def test_values_that_nothing_reads_are_clipped():
    """Negative values in front of a RELU cost nothing."""
    values = np.random.default_rng(0).normal(size=50000) * 2
    histogram = histogram_of(values)
    read = np.where(histogram.centers < 0, 0.0, histogram.clipped)
    low, high = best_range(Histogram(histogram.top, read, read), *ends(values))
    assert -low < 0.05 * -values.min()
    assert high > 0.6 * values.max()


def test_heavy_channels_keep_their_values():
    """The wide values belong to a channel that counts 1000 times as much: they stay."""
    random = np.random.default_rng(0)
    narrow, wide = random.normal(size=50000), random.normal(size=50) * 30
    values = np.concatenate([narrow, wide])
    spans = []
    for weight in (1e-3, 1.0, 1000.0):
        weights = np.concatenate([np.ones(narrow.size), np.full(wide.size, weight)])
        spans.append(best_range(histogram_of(values, weights), *ends(values)))
    widths = [high - low for low, high in spans]
    assert widths[0] < widths[1] < widths[2]
    assert widths[0] < 12  # the narrow values alone
    assert widths[2] > 0.8 * np.ptp(values)


def test_bins_hold_their_values():
    values = np.random.default_rng(0).uniform(-2, 2, 10000)
    centers = bin_centers(2.0)
    assert (np.diff(centers) > 0).all()
    # A bin of the square root's axis is 2 |v| / (BINS |side|) wide: at most 2 * 2 / 1024 here.
    np.testing.assert_allclose(centers[bin_numbers(values, 2.0)], values, atol=4 / BINS)
    assert (bin_numbers(np.zeros(3), 0.0) == BINS).all()
    assert bin_numbers(np.array([-5.0, 5.0]), 2.0).tolist() == [0, 2 * BINS - 1]
