"""A benchmark's result for readers: terminal, Markdown, CSV."""

from __future__ import annotations

import csv
import dataclasses
import io
import os
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tfmpq.benchmark.result import BenchmarkResult, Pair, Run

_WIDEST_NAME = 44
_LEFT_ALIGNED = 1  # columns: the file's name
Column = tuple[str, "Callable[[Run], str]"]


def as_text(result: BenchmarkResult) -> str:
    """Everything as lines for a terminal."""
    lines = [*_head(result), ""]
    names = _names(result.runs, _WIDEST_NAME)
    for columns in (_COMPARISON, _TIMES):
        rows = _rows(result.runs, names, columns)
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        for row in rows:
            cells = [
                cell.ljust(width) if i < _LEFT_ALIGNED else cell.rjust(width)
                for i, (cell, width) in enumerate(zip(row, widths, strict=True))
            ]
            lines.append("  ".join(cells).rstrip())
        lines.append("")
    return "\n".join([*lines, *_notes(result)]).rstrip()


def as_markdown(result: BenchmarkResult) -> str:
    """Everything as Markdown."""
    lines = [f"{line}  " for line in _head(result)]
    names = _names(result.runs, None)
    for columns in (_COMPARISON, _TIMES):
        header, *rows = _rows(result.runs, names, columns)
        rule = ["---"] * _LEFT_ALIGNED + ["---:"] * (len(header) - _LEFT_ALIGNED)
        lines += ["", *(f"| {' | '.join(_escaped(cell) for cell in row)} |" for row in (header, rule, *rows))]
    notes = [f"* {line}" for line in _notes(result)]
    return "\n".join([*lines, *([""] if notes else []), *notes]) + "\n"


def as_csv(result: BenchmarkResult) -> str:
    """The runs, a line each under the names of their fields; what was not measured is empty."""
    rows = [dataclasses.asdict(run) for run in result.runs]
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _head(result: BenchmarkResult) -> Iterator[str]:
    yield from str(result.device).splitlines()
    for pair in result.noise.pairs:
        yield (
            f"noise, {pair.threads} thread{'s' * (pair.threads != 1)}, {pair.delegate}: the first file against itself "
            f"{describe_pair(pair)}: differences below {pair.percent:.1f} % mean nothing"
        )


def _notes(result: BenchmarkResult) -> Iterator[str]:
    yield from failures(result)
    for warning in result.noise.warnings:
        yield f"warning: {warning}"


def failures(result: BenchmarkResult) -> list[str]:
    """What failed and why, a line each; a reason that is the same with several configurations is given once."""
    found: dict[str, list[Run]] = {}
    for run in result.failed:
        error = run.error or ""
        found.setdefault(error if run.path in error else f"file '{run.path}': {error}", []).append(run)
    configurations = len({run.configuration for run in result.runs})
    return [
        reason if len(runs) == configurations else f"{reason} ({'; '.join(run.configuration for run in runs)})"
        for reason, runs in found.items()
    ]


def describe_pair(pair: Pair) -> str:
    """An A/A pair's ratio and interval."""
    return f"{pair.ratio:.3f}{_interval(pair.ratio_low, pair.ratio_high)}"


def _interval(low: float | None, high: float | None) -> str:
    return "" if low is None or high is None else f" ({low:.3f}-{high:.3f})"


def _rows(runs: Sequence[Run], names: Sequence[str], columns: Sequence[Column]) -> list[list[str]]:
    header = ["file", "threads", "delegate", *(name for name, _ in columns)]
    return [
        header,
        *(
            [name, str(run.threads), run.delegate, *(cell(run) for _, cell in columns)]
            for name, run in zip(names, runs, strict=True)
        ),
    ]


def _names(runs: Sequence[Run], widest: int | None) -> list[str]:
    """Names of the files without their directories, unless two would then be the same; ends of those that are long."""
    paths = [run.path for run in runs]
    short = {path: os.path.basename(path) for path in paths}
    if len(set(short.values())) < len(short):
        short = {path: path for path in paths}
    cut = {path: f"...{name[3 - widest :]}" if widest and len(name) > widest else name for path, name in short.items()}
    whole = len(set(cut.values())) < len(cut)
    return [(short if whole else cut)[path] for path in paths]


def _escaped(cell: str) -> str:
    return cell.replace("|", "\\|")


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


_COMPARISON: tuple[Column, ...] = (
    ("p50 ms", _time("p50_ms")),
    ("ratio (95 %)", _ratio),
    ("init ms", _time("init_ms")),
    ("first ms", _time("first_ms")),
    ("peak MB", lambda run: "-" if run.peak_rss_mb is None else f"{run.peak_rss_mb:.1f}"),
    ("file kB", lambda run: "-" if run.bytes is None else f"{run.bytes / 1000:.1f}"),
    ("delegated", lambda run: "-" if run.ops is None else f"{run.delegated_ops}/{run.ops}"),
    ("partitions", lambda run: "-" if run.partitions is None else str(run.partitions)),
)
_TIMES: tuple[Column, ...] = (
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
