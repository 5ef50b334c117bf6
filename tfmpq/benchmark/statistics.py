"""What many times of the same work say: percentiles, and the ratio of two files with its confidence interval."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

_CONFIDENCE = 0.95
_MS = 1e-6  # a nanosecond in milliseconds

Times = Sequence[int] | np.ndarray  # of single inferences, in nanoseconds


@dataclass(frozen=True)
class Summary:
    """Times of single inferences, in milliseconds.

    Attributes:
        count: inferences.
        mean_ms: mean.
        std_ms: standard deviation of the population.
        min_ms: shortest.
        p50_ms: median; percentiles are interpolated linearly.
        p90_ms: 90 % take no longer.
        p95_ms: 95 % take no longer.
        p99_ms: 99 % take no longer.
        max_ms: longest.
    """

    count: int
    mean_ms: float
    std_ms: float
    min_ms: float
    p50_ms: float
    p90_ms: float
    p95_ms: float
    p99_ms: float
    max_ms: float


@dataclass(frozen=True)
class Ratio:
    """Time of one process over another's, from rounds in which both took turns.

    Attributes:
        ratio: median over the rounds of the ratio of the two medians within a round.
        low: lower end of its 95 % confidence interval; None with fewer than six rounds, which bound nothing.
        high: upper end.
        spread: 5th to 95th percentile of the rounds' ratios, as a difference.
    """

    ratio: float
    low: float | None
    high: float | None
    spread: float

    @property
    def doubt(self) -> float:
        """How far from 1 the interval (or, without one, the ratio) reaches."""
        return max(abs(value - 1) for value in (self.ratio, self.low, self.high) if value is not None)


def summarize(rounds: Sequence[Times]) -> Summary:
    """Summary of the times of all rounds.

    Args:
        rounds: a round's times in nanoseconds; at least one time in all.
    """
    times = np.concatenate([np.asarray(times, np.float64) for times in rounds]) * _MS
    p50, p90, p95, p99 = (float(value) for value in np.percentile(times, (50, 90, 95, 99)))
    return Summary(
        count=len(times),
        mean_ms=float(times.mean()),
        std_ms=float(times.std()),
        min_ms=float(times.min()),
        p50_ms=p50,
        p90_ms=p90,
        p95_ms=p95,
        p99_ms=p99,
        max_ms=float(times.max()),
    )


def time_ratio(rounds: Sequence[Times], reference: Sequence[Times]) -> Ratio:
    """Time relative to a reference that was measured in the same rounds.

    A ratio within a round is free of what changes between rounds (clock, temperature, other work). The interval is the
    distribution-free one of a median, between order statistics of the rounds' ratios.

    Args:
        rounds: a round's times in nanoseconds.
        reference: the reference's; a round more at the end, left by an interruption, is dropped.
    """
    ratios = sorted(
        float(np.median(times) / np.median(against)) for times, against in zip(rounds, reference, strict=False)
    )
    rank = median_rank(len(ratios))
    return Ratio(
        ratio=statistics.median(ratios),
        low=None if rank is None else ratios[rank],
        high=None if rank is None else ratios[-1 - rank],
        spread=float(np.subtract(*np.percentile(ratios, (95, 5)))),
    )


def median_rank(count: int) -> int | None:
    """How many of ``count`` sorted values to leave out at each end for a 95 % confidence interval of the median.

    The number of values below the median is binomial with probability 1/2: the interval from value k (from 0) to value
    count-1-k misses the median with probability 2 P(at most k values below it). None where even k=0 misses too often.
    """
    below, rank = 0, None
    for k in range((count + 1) // 2):
        below += math.comb(count, k)
        if 2 * below > (1 - _CONFIDENCE) * 2**count:
            break
        rank = k
    return rank
