"""Percentiles and ratios of times."""

from __future__ import annotations

import numpy as np
import pytest

from tfmpq.benchmark.statistics import median_rank, summarize, time_ratio

MS = 1_000_000  # nanoseconds


def test_summary_of_all_rounds_in_milliseconds():
    summary = summarize([[3 * MS, 1 * MS], [2 * MS], [4 * MS, 5 * MS]])
    assert summary.count == 5
    assert (summary.min_ms, summary.p50_ms, summary.max_ms) == (1, 3, 5)
    assert summary.mean_ms == 3
    assert summary.std_ms == pytest.approx(2**0.5)
    # interpolated linearly between the fourth and the fifth value: 4 + 0.6, 4 + 0.8, 4 + 0.96
    assert (summary.p90_ms, summary.p95_ms, summary.p99_ms) == pytest.approx((4.6, 4.8, 4.96))


def test_what_slows_a_whole_round_leaves_its_ratio_alone():
    pace = [1, 5, 1, 2, 9, 1, 1]
    reference = [[100 * p, 100 * p, 900 * p] for p in pace]  # one outlier a round
    rounds = [[120 * p, 120 * p, 10 * p] for p in pace]
    ratio = time_ratio(rounds, reference)
    assert (ratio.ratio, ratio.low, ratio.high, ratio.spread) == pytest.approx((1.2, 1.2, 1.2, 0.0))
    assert ratio.doubt == pytest.approx(0.2)


def test_interval_and_spread_of_rounds_that_differ():
    ratios = np.linspace(0.90, 1.14, 25)  # 0.01 apart
    ratio = time_ratio([[round(1000 * r)] for r in np.random.default_rng(0).permutation(ratios)], [[1000]] * 25)
    assert ratio.ratio == pytest.approx(1.02)
    assert (ratio.low, ratio.high) == pytest.approx((0.97, 1.07))  # the 8th and the 18th of 25
    assert ratio.spread == pytest.approx(0.9 * 0.24)
    assert ratio.doubt == pytest.approx(0.07)


def test_a_round_that_only_one_of_them_did_does_not_count():
    ratio = time_ratio([[200], [200]], [[100], [100], [7]])
    assert (ratio.ratio, ratio.low, ratio.high) == (2.0, None, None)
    assert ratio.doubt == 1.0


# What tables of the sign test give for 95 %: values left out at each end.
@pytest.mark.parametrize(("count", "rank"), [(1, None), (5, None), (6, 0), (8, 0), (9, 1), (20, 5), (25, 7), (50, 17)])
def test_ranks_of_the_interval(count: int, rank: int | None):
    assert median_rank(count) == rank


def test_the_interval_holds_the_median_as_often_as_it_says():
    rounds = np.random.default_rng(1).lognormal(0, 0.1, (2000, 25))
    held = 0
    for values in rounds:
        ratio = time_ratio([[round(1e6 * v)] for v in values], [[10**6]] * 25)
        assert ratio.low is not None
        assert ratio.high is not None
        held += ratio.low <= 1 <= ratio.high
    # 95.7 % for 25 rounds, whatever their distribution; four standard errors of 2000 trials are 1.8 %
    assert held / 2000 == pytest.approx(0.957, abs=0.018)
