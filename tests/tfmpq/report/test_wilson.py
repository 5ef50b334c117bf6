from __future__ import annotations

import pytest

from tfmpq.report.wilson import wilson_interval


@pytest.mark.parametrize(
    ("hits", "count", "interval"),
    [
        # scipy.stats.binomtest(hits, count).proportion_ci(method="wilson")
        (24, 25, (0.8045594, 0.9929038)),
        (25, 25, (0.8668077, 1.0)),
        (0, 10, (0.0, 0.2775328)),
        (450, 500, (0.8705781, 0.9233224)),
    ],
)
def test_known_intervals(hits, count, interval):
    assert wilson_interval(hits, count) == pytest.approx(interval, abs=1e-6)


def test_one_sided_limits():
    # None of 100: z^2 / (n + z^2)
    assert wilson_interval(0, 100, z=1.6448536) == pytest.approx((0.0, 2.7055434 / 102.7055434), abs=1e-6)
