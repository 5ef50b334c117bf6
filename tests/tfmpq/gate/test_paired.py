"""Intervals of paired differences."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tfmpq.gate.paired import Z, paired_difference, samples_needed, score

few = settings(max_examples=60, deadline=None)


@st.composite
def outcomes(draw) -> tuple[int, int, int]:
    """(lost, gained, count)."""
    count = draw(st.integers(1, 3000))
    lost = draw(st.integers(0, count))
    return lost, draw(st.integers(0, count - lost)), count


def test_known_intervals(monkeypatch):
    # Nothing is discordant: z^2 / (n + z^2), where the exact bound is 1 - 0.05^(1 / n), 3.0 / n.
    assert paired_difference(0, 0, 1000).high == pytest.approx(Z**2 / (1000 + Z**2))
    # 1 and 7 of 21 children, two-sided 95 %: Fagerland, Lydersen and Laake, Recommended tests and confidence intervals
    # for paired binomial proportions, Statistics in Medicine 33, 2014, by Tango's method.
    monkeypatch.setattr("tfmpq.gate.paired.Z", 1.959963984540054)
    found = paired_difference(1, 7, 21)
    assert (found.value, found.low, found.high) == pytest.approx((-0.286, -0.517, -0.026), abs=5e-4)


@few
@given(outcomes())
def test_ends_lie_around_the_value_where_the_statistic_says(outcome):
    lost, gained, count = outcome
    found = paired_difference(*outcome)
    assert -1 <= found.low <= found.value <= found.high <= 1
    assert found.value == pytest.approx((lost - gained) / count)
    turned = paired_difference(gained, lost, count)  # the other file's view
    assert (turned.low, turned.high) == pytest.approx((-found.high, -found.low), abs=1e-9)
    if found.high < 1 - 1e-6:
        assert score(lost, gained, count, found.high) == pytest.approx(-Z, abs=1e-4)


@few
@given(outcomes(), st.floats(0, 0.3))
def test_so_many_samples_tell(outcome, limit):
    lost, gained, count = outcome
    needed = samples_needed(lost, gained, count, limit)
    if needed is None:  # the difference is the limit
        assert abs(score(lost, gained, count, limit)) < 1e-5
        return
    scale = needed / count
    assert abs(score(lost * scale, gained * scale, needed, limit)) >= Z * (1 - 1e-9)


def test_without_a_difference_mcnemars_statistic():
    assert score(15, 5, 300, 0.0) == pytest.approx((15 - 5) / math.sqrt(15 + 5))
    assert score(0, 0, 300, 0.0) == 0
    assert samples_needed(0, 0, 300, 0.0) is None
    # Nothing was lost: z^2 (1 - d) / d samples show that no more than d is.
    assert samples_needed(0, 0, 200, 0.005) == math.ceil(Z**2 * 0.995 / 0.005) == 539


def test_how_often_the_limits_err():
    """Every outcome of 200 samples, by its probability, where the true drop is the limit."""
    for lost, gained in ((0.005, 0.0), (0.02, 0.001), (0.02, 0.02), (0.1, 0.0)):
        held = failed = total = 0.0
        for b in range(60):
            for c in range(40 if gained else 1):
                rest = 200 - b - c
                weight = math.lgamma(201) - math.lgamma(b + 1) - math.lgamma(c + 1) - math.lgamma(rest + 1)
                weight += b * math.log(lost) + (c * math.log(gained) if c else 0) + rest * math.log1p(-lost - gained)
                probability, statistic = math.exp(weight), score(b, c, 200, lost - gained)
                total += probability
                held += probability * (statistic < -Z)
                failed += probability * (statistic > Z)
        assert total == pytest.approx(1, abs=1e-6)
        # What the module says; 5 % would be exact, which no interval of counts is.
        assert held <= 0.057
        assert failed <= 0.091
