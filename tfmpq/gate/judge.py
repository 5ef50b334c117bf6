"""Whether measured figures keep their limits: by what they are with confidence, not by what they happen to be."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from tfmpq.gate.bootstrap import FEWEST
from tfmpq.gate.limits import Limits
from tfmpq.gate.measured import Estimate, Measured
from tfmpq.gate.paired import Z, enough, paired_difference, samples_needed, share_needed
from tfmpq.report.wilson import wilson_interval

Verdict = Literal["held", "failed", "cannot be told"]
VERDICTS: tuple[Verdict, ...] = ("failed", "cannot be told", "held")  # the worst first
_PAIRED = "Tango's score interval"
_SHARE = "Wilson's interval"
_UNSEEN = 3  # of n samples may be of kinds that are not among n: 0.95 confidence, 1 - 0.05^(1/n)


@dataclass(frozen=True)
class Judgement:
    """What came of one limit.

    Attributes:
        limit: its name, as in :class:`Limits`.
        allowed: its value.
        measured: the figure; None: there is none.
        low: lower end of its one-sided 95 % confidence interval; the figure itself where it is exact.
        high: upper end.
        method: where the interval comes from; "" where the figure is exact.
        verdict: "held" if all of the interval is within the limit, "failed" if none of it is, else "cannot be told".
        needed: about how many samples would tell, were they like these; None: that is not known, or it is told.
        message: why it is not held; "" if it is.
    """

    limit: str
    allowed: float
    measured: float | None
    low: float | None
    high: float | None
    method: str
    verdict: Verdict
    needed: int | None = None
    message: str = ""


def judge(measured: Measured, limits: Limits) -> tuple[Judgement, ...]:
    """One judgement for each limit that is set, in their order."""
    return tuple(_JUDGES[name](measured, name, getattr(limits, name)) for name in limits.asked())


def _drop(measured: Measured, name: str, allowed: float) -> Judgement:
    lost, gained, samples = measured.lost, measured.gained, measured.samples
    if lost is None or gained is None or not samples:
        return _drawn(
            measured.drop,
            measured,
            name,
            allowed,
            "the base has no score, or it is infinite or the same for all samples",
        )
    points = _scaled(paired_difference(lost, gained, samples), 100)
    needed = samples_needed(lost, gained, samples, min(allowed / 100, 1.0))
    return _judged(name, allowed, points, _PAIRED, samples, needed)


def _agreement(measured: Measured, name: str, allowed: float) -> Judgement:
    agreeing, samples = measured.agreeing, measured.samples
    if agreeing is None or not samples:
        return _untold(name, allowed, "the first output is no class scores")
    share = Estimate(agreeing / samples, *wilson_interval(agreeing, samples, z=Z))
    needed = share_needed(agreeing, samples, allowed)
    return _judged(name, allowed, share, _SHARE, samples, needed, least=True)


def _kl(measured: Measured, name: str, allowed: float) -> Judgement:
    return _drawn(
        measured.kl, measured, name, allowed, "the first output is no class scores, or all samples have the same"
    )


def _drawn(found: Estimate | None, measured: Measured, name: str, allowed: float, otherwise: str) -> Judgement:
    samples = measured.samples or 0
    if found is None:
        few = f"{samples:,} samples are too few, at least {FEWEST} are needed"
        return _untold(name, allowed, few if 0 < samples < FEWEST else f"it has no interval: {otherwise}")
    apart = allowed - found.value
    width = found.high - found.value if apart > 0 else found.value - found.low
    needed = enough(samples, abs(apart) / width) if width > 0 else None
    method = f"bootstrap, for samples like these: up to {_UNSEEN} in {samples:,} may be like none of them"
    return _judged(name, allowed, found, method, samples, needed)


def _bytes(measured: Measured, name: str, allowed: float) -> Judgement:
    return _exact(name, allowed, float(measured.bytes))


def _bytes_ratio(measured: Measured, name: str, allowed: float) -> Judgement:
    return _exact(name, allowed, measured.bytes / measured.base_bytes)


def _latency(measured: Measured, name: str, allowed: float) -> Judgement:
    latency = measured.latency
    if latency is None:
        return _untold(name, allowed, "it was not measured")
    if latency.low is None or latency.high is None:
        return _untold(name, allowed, "fewer than six rounds were measured")
    # What the base differs from itself by may be in the ratio too.
    found = Estimate(latency.ratio, latency.low / (1 + latency.noise), latency.high * (1 + latency.noise))
    method = "rounds of both, widened by what the base differs from itself"
    judged = _judged(name, allowed, found, method, 0, None)
    if judged.verdict != "cannot be told":
        return judged
    message = f"the limit is within the interval; the base differs from itself by {latency.noise:.1%}"
    return _untold(name, allowed, f"{message}: take an idle machine or more rounds", found, method)


def _judged(
    name: str,
    allowed: float,
    found: Estimate,
    method: str,
    samples: int,
    needed: int | None,
    *,
    least: bool = False,
) -> Judgement:
    """By an interval; ``least``: the limit is the smallest that is allowed, not the largest."""
    inside = found.low >= allowed if least else found.high <= allowed
    outside = found.high < allowed if least else found.low > allowed
    if inside:
        return Judgement(name, allowed, found.value, found.low, found.high, method, "held")
    if outside:
        message = f"{found.value:.4g} is {'below' if least else 'above'} the limit of {allowed:.4g}"
        return Judgement(name, allowed, found.value, found.low, found.high, method, "failed", message=message)
    if needed is None:
        few = f"{samples:,} samples are too few, and no number of samples like these would do"
    else:
        few = f"{samples:,} samples are too few, about {max(needed, samples + 1):,} are needed"
    return _untold(name, allowed, few, found, method, needed and max(needed, samples + 1))


def _exact(name: str, allowed: float, value: float) -> Judgement:
    if value <= allowed:
        return Judgement(name, allowed, value, value, value, "", "held")
    message = f"{value:.10g} is above the limit of {allowed:.10g}"
    return Judgement(name, allowed, value, value, value, "", "failed", message=message)


def _untold(
    name: str,
    allowed: float,
    message: str,
    found: Estimate | None = None,
    method: str = "",
    needed: int | None = None,
) -> Judgement:
    value, low, high = (None, None, None) if found is None else (found.value, found.low, found.high)
    return Judgement(name, allowed, value, low, high, method, "cannot be told", needed, message)


def _scaled(found: Estimate, factor: float) -> Estimate:
    return Estimate(factor * found.value, factor * found.low, factor * found.high)


_JUDGES: dict[str, Callable[[Measured, str, float], Judgement]] = {
    "max_drop": _drop,
    "min_agreement": _agreement,
    "max_kl": _kl,
    "max_bytes": _bytes,
    "max_bytes_ratio": _bytes_ratio,
    "max_latency_ratio": _latency,
}
