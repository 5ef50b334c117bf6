"""A difference of two shares on the same samples, with what it can be trusted for.

Score interval of Tango (Equivalence test and confidence interval for the difference in proportions for the
paired-sample design, Statistics in Medicine 17, 1998, section 3): the differences that the score test does not reject.
It is built on the discordant samples, as McNemar's test is (with a difference of 0 the statistic is McNemar's), and
unlike the normal interval it has a width where there are none of them.

Each end is one-sided, at 95 %. Enumerated over all outcomes of 50, 200 and 1,000 samples: with a true drop of just the
limit, 0 or more, a file is held in 5.7 % of cases at most, and failed in 9.1 % at most.
"""

from __future__ import annotations

import math

from tfmpq.gate.measured import Estimate

Z = 1.6448536269514722  # 95 % of a normal distribution lie below
_HALVINGS = 60  # of an interval of length 2: to the last digits of a float


def paired_difference(lost: float, gained: float, count: int) -> Estimate:
    """The share lost minus the share gained.

    Args:
        lost: samples that only the base has right.
        gained: samples that only the file has right.
        count: all samples, 1 or more.
    """
    return Estimate((lost - gained) / count, _end(lost, gained, count, Z), _end(lost, gained, count, -Z))


def score(lost: float, gained: float, count: int, difference: float) -> float:
    """Tango's statistic: by how many standard errors the difference is above the one supposed.

    Args:
        lost, gained, count: as for :func:`paired_difference`.
        difference: supposed, -1..1.
    """
    above = lost - gained - count * difference
    b = -lost - gained + (2 * count - lost + gained) * difference
    root = math.sqrt(max(b * b + 8 * count * gained * difference * (1 - difference), 0.0))
    share_gained = max((root - b) / (4 * count), 0.0)  # its maximum likelihood estimate given the difference
    variance = count * (2 * share_gained + difference * (1 - difference))
    if variance <= 0:
        return math.copysign(math.inf, above) if above else 0.0
    return above / math.sqrt(variance)


def samples_needed(lost: float, gained: float, count: int, limit: float) -> int | None:
    """About how many samples tell on which side of a limit the difference is, were they like these.

    The statistic grows with the square root of the samples.

    Returns:
        None: no number of them would.
    """
    return enough(count, abs(score(lost, gained, count, limit)) / Z)


def share_needed(hits: int, count: int, limit: float) -> int | None:
    """About how many samples tell on which side of a limit a share is, by Wilson's interval; None likewise."""
    variance = limit * (1 - limit) / count
    return enough(count, abs(hits / count - limit) / math.sqrt(variance) / Z if variance > 0 else 0.0)


def enough(count: int, reach: float) -> int | None:
    """Samples at which an interval ends at a limit, if it reaches there times ``1 / reach`` with ``count`` of them."""
    needed = count / reach**2 if reach > 1e-9 else math.inf
    return math.ceil(needed) if needed < _MOST else None


_MOST = 1e12  # more samples than anybody has


def _end(lost: float, gained: float, count: int, level: float) -> float:
    """The difference at which the statistic, which falls with it, has some level."""
    low, high = -1.0, 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if score(lost, gained, count, middle) > level:
            low = middle
        else:
            high = middle
    return (low + high) / 2
