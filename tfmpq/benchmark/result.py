"""What a benchmark found, as data: one :class:`Run` for every file and configuration."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from converters.runtime.interpreter import Delegate
from tfmpq.benchmark.device import Device
from tfmpq.benchmark.tables import as_text


@dataclass(frozen=True)
class Run:
    """One file with one configuration. What was not measured is None.

    Attributes:
        path: the file as it was given.
        bytes: its size.
        runtime: interpreter and version.
        threads: CPU threads.
        delegate: ``"xnnpack"``, or ``"builtin"``: kernels without a delegate.
        count: timed inferences; the times below are theirs, in milliseconds.
        mean_ms: mean.
        std_ms: standard deviation.
        min_ms: shortest.
        p50_ms: median.
        p90_ms: 90th percentile.
        p95_ms: 95th percentile.
        p99_ms: 99th percentile.
        max_ms: longest.
        init_ms: making the interpreter, from the file's content in memory.
        first_ms: the first inference.
        peak_rss_mb: most memory its process had resident, in MB (10^6 bytes), Python, NumPy and the runtime included.
        ratio: time relative to the first file with the same threads and delegate.
        ratio_low: lower end of the ratio's 95 % confidence interval.
        ratio_high: upper end.
        delegated_ops: operators that the delegate runs.
        ops: operators of the file.
        partitions: pieces the delegate runs them in; every further piece costs a hand-over.
        output_sha256: of the raw bytes of all outputs in graph order, of the first inference.
        error: why there are no times, on one line; None: there are.
    """

    path: str
    bytes: int | None
    runtime: str | None = None
    threads: int = 1
    delegate: Delegate = "xnnpack"
    count: int | None = None
    mean_ms: float | None = None
    std_ms: float | None = None
    min_ms: float | None = None
    p50_ms: float | None = None
    p90_ms: float | None = None
    p95_ms: float | None = None
    p99_ms: float | None = None
    max_ms: float | None = None
    init_ms: float | None = None
    first_ms: float | None = None
    peak_rss_mb: float | None = None
    ratio: float | None = None
    ratio_low: float | None = None
    ratio_high: float | None = None
    delegated_ops: int | None = None
    ops: int | None = None
    partitions: int | None = None
    output_sha256: str | None = None
    error: str | None = None

    @property
    def configuration(self) -> str:
        """Threads and delegate in words."""
        return f"{self.threads} thread{'s' * (self.threads != 1)}, {self.delegate}"


@dataclass(frozen=True)
class Pair:
    """The same file in two processes: what the machine makes of no difference at all.

    Attributes:
        path: the file.
        threads: CPU threads.
        delegate: delegate, as in :class:`Run`.
        ratio: time of one over the other; 1 on a quiet machine.
        ratio_low: lower end of its 95 % confidence interval; None with fewer than six rounds.
        ratio_high: upper end.
        spread: 5th to 95th percentile of the ratio of single rounds.
        percent: how far from 1 ratio and interval reach; smaller differences between files mean nothing.
    """

    path: str
    threads: int
    delegate: Delegate
    ratio: float
    ratio_low: float | None
    ratio_high: float | None
    spread: float
    percent: float


@dataclass(frozen=True)
class Noise:
    """How far the figures can be trusted.

    Attributes:
        percent: the largest of the pairs'; None: no pair was measured.
        pairs: one for every configuration.
        warnings: what spoils the figures, one sentence each.
    """

    percent: float | None
    pairs: tuple[Pair, ...]
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class BenchmarkResult:
    """Result of :func:`tfmpq.benchmark.run.benchmark`.

    Attributes:
        device: machine and runtime.
        noise: how far the figures can be trusted.
        runs: configuration by configuration, the files in the order they were given.
    """

    device: Device
    noise: Noise
    runs: tuple[Run, ...]

    @property
    def failed(self) -> tuple[Run, ...]:
        """Runs without times."""
        return tuple(run for run in self.runs if run.error is not None)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return dataclasses.asdict(self)

    def __str__(self) -> str:
        return as_text(self)
