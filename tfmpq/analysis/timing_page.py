"""A benchmark as a page: size against time with its interval, and where the time goes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from tfmpq.benchmark.result import BenchmarkResult, Run
from tfmpq.html.blocks import from_blocks
from tfmpq.html.op_map import Place, op_map
from tfmpq.html.page import Page, Section
from tfmpq.html.scatter import Chart, Point, charts
from tfmpq.html.tables import Cell, Row, bar_table
from tfmpq.html.tags import Html, joined, tag
from tfmpq.text import Block, Column, Lines, Table, plural, quantity

if TYPE_CHECKING:  # they load the schema, which a benchmark does without
    from tfmpq.analysis.coverage import CoverageReport
    from tfmpq.analysis.op_times import PerOp

_COLUMNS = (
    Column("layer"),
    Column("time, us", numeric=True),
    Column("share", numeric=True),
    Column("operators", numeric=True),
)


def benchmark_page(
    result: BenchmarkResult,
    *,
    per_op: Mapping[str, PerOp],
    coverage: Mapping[str, CoverageReport],
    about: Sequence[Block] = (),
) -> Page:
    """The page of a benchmark.

    Args:
        result: what was measured.
        per_op: path -> times of its operators, of the files whose operators were timed.
        coverage: path -> what the delegate leaves, of the files of which it leaves something.
        about: what else is to be read of how it was made.
    """
    found = tuple(_charts(result))
    sections = [
        Section("frontier", "Size and time", charts(found)),
        Section("files", "Files", from_blocks([*result.blocks(), *about])),
    ]
    for number, (path, times) in enumerate(per_op.items()):
        content = _operators(path, times, coverage.get(path), _run(result, path))
        sections.append(Section(f"operators-{number}", f"Where the time goes: {path}", content))
    left = [piece for path, report in coverage.items() for piece in (tag("h3", path), from_blocks(report.blocks()))]
    if left:
        sections.append(Section("delegate", "What XNNPACK leaves to the built-in kernels", joined(left)))
    files = len({run.path for run in result.runs})
    lead = f"{plural(files, 'file')} on {result.device.cpu}, {result.device.runtime}, {result.device.time}"
    return Page("benchmark", lead, tuple(sections))


def _charts(result: BenchmarkResult) -> Iterator[Chart]:
    """One for every configuration: only files with the same threads and delegate are compared."""
    paths = list(dict.fromkeys(run.path for run in result.runs))
    pairs = {(pair.threads, pair.delegate): pair for pair in result.noise.pairs}
    for threads, delegate in dict.fromkeys((run.threads, run.delegate) for run in result.runs):
        runs = [run for run in result.runs if (run.threads, run.delegate) == (threads, delegate)]
        points = tuple(point for run in runs for point in _points(run))
        pair = pairs.get((threads, delegate))
        noise = "whiskers: 95 % intervals of the ratio, where there were six rounds or more"
        notes = [noise, *result.noise.warnings]
        if pair is not None:
            notes.insert(
                1, f"noise: the first file against itself {pair}; less than {pair.percent:.1f} % means nothing"
            )
        title = f"{plural(threads, 'thread')}, {delegate}"
        yield Chart(title, "size, kB", f"time, {_short(paths[0])}'s being 1", points, tuple(notes))


def _points(run: Run) -> Iterator[Point]:
    if run.ratio is None or run.bytes is None:
        return
    details = [quantity(run.bytes, "B")]
    if run.p50_ms is not None and run.p95_ms is not None:
        details.append(f"median {run.p50_ms:.4g} ms, 95th percentile {run.p95_ms:.4g} ms")
    interval = None
    if run.ratio_low is not None and run.ratio_high is not None and run.ratio_low < run.ratio_high:
        interval = (run.ratio_low, run.ratio_high)
        details.append(f"ratio {run.ratio:.3f} ({run.ratio_low:.3f}-{run.ratio_high:.3f})")
    if run.peak_rss_mb is not None:
        details.append(f"peak {run.peak_rss_mb:.1f} MB")
    if run.ops is not None:
        details.append(f"XNNPACK runs {run.delegated_ops} of {run.ops} operators")
    name = _short(run.path)
    yield Point(name, run.path, run.bytes / 1000, run.ratio, None, interval, "files", tuple(details))


def _short(path: str) -> str:
    return path.replace("\\", "/").rstrip("/").rpartition("/")[2] or path


def _run(result: BenchmarkResult, path: str) -> Run:
    return next(run for run in result.runs if run.path == path)


def _operators(path: str, times: PerOp, coverage: CoverageReport | None, run: Run) -> Html:
    summary = [block for block in times.blocks() if not isinstance(block, Table)]
    notes = [block for block in times.blocks() if isinstance(block, Table) and block.notes]
    said = Lines(tuple(note for block in notes for note in block.notes))
    return joined([_layers(path, times), _map(path, times, coverage, run), from_blocks([*summary, said])])


def _layers(path: str, times: PerOp) -> Html:
    by_layer = times.by_layer()
    total, longest = sum(by_layer.values()) or 1.0, max(by_layer.values(), default=0.0) or 1.0
    rows = [
        Row(
            (
                Cell(layer),
                Cell(f"{value:.1f}", value, value / longest, kind="time"),
                Cell(f"{100 * value / total:.1f} %", value),
                Cell(str(sum(row.layer == layer for row in times.rows))),
            )
        )
        for layer, value in by_layer.items()
    ]
    note = "medians; the cost of a run beyond its operators is taken off each: tfmpq benchmark --per_op"
    return bar_table(_COLUMNS, rows, name=f"layers of {path}", notes=(note,))


def _map(path: str, times: PerOp, coverage: CoverageReport | None, run: Run) -> Html | None:
    """The operators; nothing where it is not known which of them the delegate left."""
    if times.delegate != "xnnpack" or (coverage is None and run.delegated_ops != run.ops):
        return None
    left = {} if coverage is None else {entry.op: entry.why for entry in coverage.left}
    places = []
    for row in times.rows:
        time = "not timed" if row.microseconds is None else f"{row.microseconds:.1f} us"
        note = "\n".join(filter(None, (time, left.get(row.op, ""), row.note)))
        places.append(Place(row.op_name, row.layer, row.op not in left, note))
    return op_map(places, title=f"operators of {path} in their order")
