"""What a benchmark found, as data and as tables: one :class:`Run` for every file and configuration."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from converters.runtime.interpreter import Delegate
from tfmpq.benchmark.device import Device
from tfmpq.text import Block, Column, Lines, Table, plural, to_terminal

Figure = tuple[str, "Callable[[Run], str]"]  # a column's title, and what stands there


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
        return f"{plural(self.threads, 'thread')}, {self.delegate}"


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

    def __str__(self) -> str:
        return f"{self.ratio:.3f}{_interval(self.ratio_low, self.ratio_high)}"


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

    def failures(self) -> list[str]:
        """What failed and why, a line each; a reason that several configurations share is given once."""
        found: dict[str, list[Run]] = {}
        for run in self.failed:
            error = run.error or ""
            found.setdefault(error if run.path in error else f"file '{run.path}': {error}", []).append(run)
        configurations = len({run.configuration for run in self.runs})
        return [
            reason if len(runs) == configurations else f"{reason} ({'; '.join(run.configuration for run in runs)})"
            for reason, runs in found.items()
        ]

    def blocks(self) -> tuple[Block, ...]:
        """What there is to read, for :mod:`tfmpq.text`."""
        warnings = (f"warning: {warning}" for warning in self.noise.warnings)
        return (
            Lines((*str(self.device).splitlines(), *map(_noise, self.noise.pairs))),
            _table(self.runs, _COMPARISON),
            _table(self.runs, _TIMES),
            Lines((*self.failures(), *warnings)),
        )

    def table(self) -> Table:
        """The runs under the names of their fields, for CSV; what was not measured is empty."""
        rows = ((str("" if v is None else v) for v in dataclasses.astuple(run)) for run in self.runs)
        return Table(tuple(Column(field.name) for field in dataclasses.fields(Run)), tuple(map(tuple, rows)))

    def __str__(self) -> str:
        return to_terminal(self.blocks())


def _noise(pair: Pair) -> str:
    return (
        f"noise, {plural(pair.threads, 'thread')}, {pair.delegate}: the first file against itself {pair}: "
        f"differences below {pair.percent:.1f} % mean nothing"
    )


def _table(runs: Sequence[Run], figures: Sequence[Figure]) -> Table:
    names = _names([run.path for run in runs])
    alike = len({run.configuration for run in runs}) == 1
    columns = (Column("threads", numeric=True, spare=alike), Column("delegate", numeric=True, spare=alike))
    return Table(
        (
            Column("file", least=24),
            *columns,
            *(Column(name, numeric=True, spare=name in _SPARE) for name, _ in figures),
        ),
        tuple((names[run.path], str(run.threads), run.delegate, *(cell(run) for _, cell in figures)) for run in runs),
    )


def _names(paths: Sequence[str]) -> dict[str, str]:
    """Names of the files without their directories, unless two would then be the same."""
    short = {path: os.path.basename(path) for path in paths}
    return short if len(set(short.values())) == len(short) else {path: path for path in paths}


def _interval(low: float | None, high: float | None) -> str:
    return "" if low is None or high is None else f" ({low:.3f}-{high:.3f})"


def _milliseconds(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.1f}" if value >= 100 else f"{value:.3f}" if value >= 1 else f"{value:.4f}"


def _ratio(run: Run) -> str:
    if run.ratio is None:
        return "-"
    own = run.ratio == run.ratio_low == run.ratio_high  # the first file itself
    return f"{run.ratio:.3f}{'' if own else _interval(run.ratio_low, run.ratio_high)}"


def _time(field: str) -> Callable[[Run], str]:
    return lambda run: _milliseconds(getattr(run, field))


_COMPARISON: tuple[Figure, ...] = (
    ("p50 ms", _time("p50_ms")),
    ("ratio (95 %)", _ratio),
    ("init ms", _time("init_ms")),
    ("first ms", _time("first_ms")),
    ("peak MB", lambda run: "-" if run.peak_rss_mb is None else f"{run.peak_rss_mb:.1f}"),
    ("file kB", lambda run: "-" if run.bytes is None else f"{run.bytes / 1000:.1f}"),
    ("delegated", lambda run: "-" if run.ops is None else f"{run.delegated_ops}/{run.ops}"),
    ("partitions", lambda run: "-" if run.partitions is None else str(run.partitions)),
)
_SPARE = ("partitions", "file kB", "std", "p95", "first ms", "runs", "p99")
_TIMES: tuple[Figure, ...] = (
    ("runs", lambda run: "-" if run.count is None else str(run.count)),
    ("mean", _time("mean_ms")),
    ("std", _time("std_ms")),
    ("min", _time("min_ms")),
    ("p50", _time("p50_ms")),
    ("p90", _time("p90_ms")),
    ("p95", _time("p95_ms")),
    ("p99", _time("p99_ms")),
    ("max", _time("max_ms")),
)
