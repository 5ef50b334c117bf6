"""What was measured of a file beside another one: plain numbers, enough to judge it by any limits."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Estimate:
    """A figure measured on samples.

    Attributes:
        value: on these samples.
        low: the true one is above it with 95 % confidence.
        high: the true one is below it with 95 % confidence.
    """

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Latency:
    """Time of an inference relative to the base's.

    Attributes:
        ratio: median over rounds.
        low: lower end of its 95 % confidence interval; None with fewer than six rounds.
        high: upper end.
        noise: how far from 1 the base came out beside itself, its interval included, as a fraction.
    """

    ratio: float
    low: float | None
    high: float | None
    noise: float


@dataclass(frozen=True)
class Measured:
    """A file beside its base. What was not measured, or is not there to measure, is None.

    Attributes:
        bytes: size of the file.
        base_bytes: size of the base.
        samples: how many both were run on.
        lost: samples of which only the base gives the label's class.
        gained: samples of which only the file does.
        agreeing: samples of which both give the same class.
        drop: base's score minus the file's, of metrics other than top-1; of those where lower is better, the rise.
        kl: divergence of the class probabilities from the base's, nats.
        latency: time beside the base's.
    """

    bytes: int
    base_bytes: int
    samples: int | None = None
    lost: int | None = None
    gained: int | None = None
    agreeing: int | None = None
    drop: Estimate | None = None
    kl: Estimate | None = None
    latency: Latency | None = None
