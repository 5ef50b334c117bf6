"""Verdicts on measured figures."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from converters.errors import OptionError
from tfmpq.gate.judge import judge
from tfmpq.gate.limits import Limits
from tfmpq.gate.measured import Estimate, Latency, Measured

few = settings(max_examples=60, deadline=None)
MEASURED = Measured(bytes=600, base_bytes=1000, samples=1000, lost=4, gained=2, agreeing=990)
MEASURED = replace(MEASURED, kl=Estimate(0.010, 0.008, 0.013), latency=Latency(1.02, 1.01, 1.03, 0.01))


@pytest.mark.parametrize(
    ("limits", "verdict"),
    [
        (Limits(max_drop=1.0), "held"),
        (Limits(max_drop=0.5), "cannot be told"),
        (Limits(max_drop=0.0), "cannot be told"),
        (Limits(min_agreement=0.98), "held"),
        (Limits(min_agreement=0.99), "cannot be told"),
        (Limits(min_agreement=0.9975), "failed"),
        (Limits(max_kl=0.013), "held"),
        (Limits(max_kl=0.012), "cannot be told"),
        (Limits(max_kl=0.0079), "failed"),
        (Limits(max_bytes=600), "held"),
        (Limits(max_bytes=599), "failed"),
        (Limits(max_bytes_ratio=0.6), "held"),
        (Limits(max_bytes_ratio=0.59), "failed"),
        (Limits(max_latency_ratio=1.05), "held"),
        (Limits(max_latency_ratio=1.035), "cannot be told"),  # within the interval once the noise is in it
        (Limits(max_latency_ratio=0.99), "failed"),
    ],
)
def test_verdicts(limits, verdict):
    (found,) = judge(MEASURED, limits)
    assert (found.verdict, found.limit) == (verdict, limits.asked()[0])
    assert (found.message == "") == (verdict == "held")
    assert found.measured is not None


def test_how_many_samples_would_tell():
    (found,) = judge(MEASURED, Limits(max_drop=0.5))
    assert found.message == f"1,000 samples are too few, about {found.needed:,} are needed"
    assert found.needed is not None
    scale = found.needed / 1000
    more = replace(MEASURED, samples=found.needed, lost=4 * scale, gained=2 * scale)  # type: ignore[arg-type]
    assert judge(more, Limits(max_drop=0.5))[0].verdict == "held"
    (found,) = judge(replace(MEASURED, lost=0, gained=0), Limits(max_drop=0.0))
    assert "no number of samples like these would do" in found.message
    (found,) = judge(MEASURED, Limits(max_kl=0.012))
    assert found.needed == 2250  # the interval reaches 3 beyond where 2 are allowed: (3 / 2)^2 as many


def test_what_is_not_there_cannot_be_told():
    bare = Measured(bytes=1, base_bytes=1)
    every = Limits(max_drop=1, min_agreement=0.9, max_kl=1, max_latency_ratio=2)
    assert {found.verdict for found in judge(bare, every)} == {"cannot be told"}
    (found,) = judge(replace(bare, samples=12), Limits(max_kl=1))
    assert "12 samples are too few, at least 30 are needed" in found.message
    (found,) = judge(replace(bare, latency=Latency(1.0, None, None, 0.0)), Limits(max_latency_ratio=2))
    assert "fewer than six rounds" in found.message


@few
@given(st.integers(1, 2000), st.integers(0, 50), st.integers(0, 50), st.floats(0, 5))
def test_a_laxer_limit_is_never_judged_worse(samples, lost, gained, allowed):
    lost, gained = min(lost, samples), min(gained, samples - min(lost, samples))
    measured = replace(MEASURED, samples=samples, lost=lost, gained=gained)
    order = ["failed", "cannot be told", "held"]
    strict, lax = (judge(measured, Limits(max_drop=limit))[0].verdict for limit in (allowed, allowed + 0.5))
    assert order.index(strict) <= order.index(lax)


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ({"max_drop": -1}, "max_drop=-1: give a number, 0 or more"),
        ({"max_kl": float("nan")}, "max_kl=nan"),
        ({"max_kl": True}, "max_kl=True"),
        ({"max_drop": "1"}, "max_drop='1'"),
        ({"max_latency_ratio": 0}, "max_latency_ratio=0: give a number above 0"),
        ({"max_latency_ratio": float("inf")}, "max_latency_ratio=inf"),
        ({"max_bytes": 10.5}, "max_bytes=10.5: give a whole number"),
        ({"min_agreement": 99}, r"min_agreement=99: give a share from 0 to 1 \(0.99, not 99\)"),
    ],
)
def test_limits_that_make_no_sense(limits, message):
    with pytest.raises(OptionError, match=message):
        Limits(**limits)
