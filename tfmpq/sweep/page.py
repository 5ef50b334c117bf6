"""The summary of a sweep as a page: every file's size and latency against what it is worth, and its layers."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

from tfmpq.html.blocks import from_blocks
from tfmpq.html.page import Page, Section
from tfmpq.html.scatter import Chart, Point, charts
from tfmpq.html.tables import Cell, Row, bar_table
from tfmpq.html.tags import Html, joined, tag
from tfmpq.report.wilson import wilson_interval
from tfmpq.sweep.bases import BASES, STOCK
from tfmpq.sweep.page_data import layers_data
from tfmpq.sweep.summary import NAME, TITLES, SweepResult, label, row_cells
from tfmpq.text import Column, plural, quantity

PAGE = f"{NAME}.html"
_NAMES = 3  # columns that say which row it is
_NORMAL = 1.96  # standard errors of a 95 % interval
_SIZE, _TIME = "size, % of stock's", "latency, stock's being 1"
_MOST_MEASURES = 2  # what files are worth, in charts; the table has all

Plain = dict[str, Any]
Found = tuple[float, tuple[float, float] | None]  # what is measured, and its interval


def summary_page(result: SweepResult) -> Page:
    """The page of a sweep, whether it is done or not.

    Args:
        result: with the rows that are there.
    """
    done = [(row_name(number), row) for number, row in enumerate(result.rows) if "error" not in row]
    data, left_out = layers_data([(name, label(row), row["layers"]) for name, row in done if "layers" in row])
    counts, *_, last = result.blocks()
    sections = [
        Section("frontier", "Size, latency and what files are worth", _frontier(done)),
        Section("layers", "Layers of a file", _panel(done, left_out)),
        Section("rows", "Rows", joined([from_blocks([counts]), _table(done)])),
    ]
    if result.failed:
        sections.append(Section("failed", "Failed", from_blocks([last])))
    models = plural(len({row["model"] for row in result.rows}), "model")
    lead = f"{len(done)} of {plural(result.asked, 'row')}, {models}; {result.folder}"
    return Page(f"sweep {result.folder.name}", lead, tuple(sections), data)


def row_name(number: int) -> str:
    """What links to a row are called."""
    return f"row-{number}"


def _frontier(done: Sequence[tuple[str, Plain]]) -> Html:
    drawn = [(name, row) for name, row in done if row["variant"] == STOCK or row["variant"] not in BASES]
    axes = [(_SIZE, lambda row: 100 * row["bytes"] / row["stock_bytes"])]
    if any(row.get("latency") is not None for _, row in drawn):
        axes.append((_TIME, lambda row: row.get("latency")))
    found = []
    measures = [measure for measure in _MEASURES if any(measure[2](row) is not None for _, row in drawn)]
    for title, most, value, note in measures[:_MOST_MEASURES]:
        for x_title, x in axes:
            points = tuple(_points(drawn, x, value))
            notes = (note, *(("latency: a ratio of medians, no interval is kept",) if x_title == _TIME else ()))
            found.append(
                Chart(
                    f"{title.partition(',')[0]} over {x_title.partition(',')[0]}", x_title, title, points, notes, most
                )
            )
    if not found:
        return tag("p", "Nothing but sizes was measured: the spec names no labelled samples or no metrics.")
    left_out = "The float files are not drawn: they are what the others are compared with. The table has them."
    return joined([charts(found), tag("p", left_out, class_="note")])


def _points(rows: Sequence[tuple[str, Plain]], x: Any, value: Any) -> Iterator[Point]:
    several = len({row["model"] for _, row in rows}) > 1
    for name, row in rows:
        at, found = x(row), value(row)
        if at is None or found is None:
            continue
        y, interval = found
        series = row["model"] if several else row["variant"]
        yield Point(label(row), series, at, y, None, interval, name, tuple(_details(row)))


def _details(row: Plain) -> Iterator[str]:
    yield f"{quantity(row['bytes'], 'B')}, {100 * row['bytes'] / row['stock_bytes']:.1f} % of stock's"
    for title, text in list(zip(TITLES, row_cells(row), strict=True))[_NAMES + 2 : -1]:
        if text:
            yield f"{title}: {text}"


def _agreement(row: Plain) -> Found | None:
    share, samples = row.get("agreement"), row.get("samples")
    if share is None:
        return None
    if not samples:
        return 100 * share, None
    low, high = wilson_interval(round(share * samples), samples)
    return 100 * share, (100 * low, 100 * high)


def _top1(row: Plain) -> Found | None:
    share, error = row.get("top1"), row.get("top1_error")
    if share is None:
        return None
    reach = _NORMAL * (error or 0.0)
    return 100 * share, (100 * (share - reach), 100 * (share + reach))


def _sqnr(row: Plain) -> Found | None:
    value = row.get("sqnr_db")
    return None if value is None or not math.isfinite(value) else (value, None)


def _kl(row: Plain) -> Found | None:
    value = row.get("kl")
    return None if value is None else (value, None)


_MEASURES = (
    ("agreement with float, %", 100.0, _agreement, "whiskers: 95 % intervals (Wilson) of the samples of a row"),
    ("top-1, %", 100.0, _top1, "whiskers: 95 % intervals of single files; differences on the same samples are surer"),
    ("KL to float, nats", None, _kl, "no interval: it is one figure for all samples"),
    ("SQNR of the worst output, dB", None, _sqnr, "no interval: it is one figure for all samples"),
)


def _panel(done: Sequence[tuple[str, Plain]], left_out: int) -> Html:
    hint = tag("p", "Choose a point of a chart, or a row of the table below: its layers are shown here.")
    notes = []
    old = sum(row["variant"] not in BASES and "layers" not in row for _, row in done)
    if left_out:
        notes.append(
            f"The layers of {plural(left_out, 'row')} would make this page too large: they are in results.jsonl."
        )
    if old:
        notes.append(f"{plural(old, 'row')} of an earlier version of tfmpq have no layers here.")
    return joined([tag("div", hint, id="panel"), *(tag("p", note, class_="note") for note in notes)])


def _table(done: Sequence[tuple[str, Plain]]) -> Html:
    kept = [i for i in range(len(TITLES)) if i < _NAMES or any(row_cells(row)[i] for _, row in done)]
    columns = [Column("row"), *(Column(TITLES[i], numeric=True) for i in kept if i >= _NAMES)]
    largest = max((row["bytes"] / row["stock_bytes"] for _, row in done if row["variant"] not in BASES), default=1.0)
    rows = []
    for name, row in done:
        texts = row_cells(row)
        cells = [Cell(label(row), leads_to=name)]
        for i in (i for i in kept if i >= _NAMES):
            cell = Cell(texts[i])
            if TITLES[i] == "of stock":
                share = row["bytes"] / row["stock_bytes"]
                cell = Cell(texts[i], share, min(share / max(largest, 1.0), 1.0), kind="time")
            cells.append(cell)
        rows.append(Row(tuple(cells), name))
    warned = sum(bool(row["warnings"]) for _, row in done)
    notes = [f"{plural(warned, 'row')} with warnings: see results.jsonl"] if warned else []
    return bar_table(columns, rows, name="rows", notes=notes)
