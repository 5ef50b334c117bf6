"""The summary of a sweep as a page: every file's size and latency against what it is worth, and its layers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from tfmpq.comparison.frontier import MeasuredFile, frontier_charts
from tfmpq.html.blocks import from_blocks
from tfmpq.html.page import Page, Section
from tfmpq.html.scatter import charts
from tfmpq.html.tables import Cell, Row, bar_table
from tfmpq.html.tags import Html, joined, tag
from tfmpq.sweep.bases import BASES, FLOAT
from tfmpq.sweep.page_data import layers_data
from tfmpq.sweep.summary import NAME, TITLES, SweepResult, label, row_cells
from tfmpq.text import Column, plural

PAGE = f"{NAME}.html"
_NAMES = 3  # columns that say which row it is
_FIGURES = ("samples", "agreement", "top1", "top1_error", "kl", "sqnr_db", "latency")

Plain = dict[str, Any]


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
    drawn = [(name, row) for name, row in done if row["variant"] != FLOAT]
    several = len({row["model"] for _, row in drawn}) > 1
    found = frontier_charts([_measured(name, row, row["model" if several else "variant"]) for name, row in drawn])
    if not found:
        return tag("p", "Nothing but sizes was measured: the spec names no labelled samples or no metrics.")
    left_out = "The float files are not drawn: they are what the others are compared with. The table has them."
    return joined([charts(found), tag("p", left_out, class_="note")])


def _measured(name: str, row: Plain, series: str) -> MeasuredFile:
    figures = {key: row.get(key) for key in _FIGURES}
    details = tuple(_details(row))
    return MeasuredFile(label(row), series, name, row["bytes"], row["stock_bytes"], **figures, details=details)


def _details(row: Plain) -> Iterator[str]:
    """What the table says of it beside sizes and seconds."""
    for title, text in list(zip(TITLES, row_cells(row), strict=True))[_NAMES + 2 : -1]:
        if text:
            yield f"{title}: {text}"


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
