"""Tables with bars in their cells; the page's script sorts them, and copies what a row has to copy."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tfmpq.html.blocks import wide
from tfmpq.html.tags import Html, joined, tag
from tfmpq.text import Column

_WIDTH, _HEIGHT = 100, 10  # of a bar's own units


@dataclass(frozen=True)
class Cell:
    """A cell.

    Attributes:
        text: what stands there.
        value: what it is sorted by; None: the text.
        share: length of its bar, 0..1; None: there is none.
        mark: where a line crosses the bar, 0..1, to compare with.
        kind: of the bar, which gives it its colour: ``bits4``, ``error``, ``time``.
        copy: whether the text is to be copied.
        leads_to: name of what a click shows; "": nothing.
    """

    text: str
    value: float | None = None
    share: float | None = None
    mark: float | None = None
    kind: str = ""
    copy: bool = False
    leads_to: str = ""


@dataclass(frozen=True)
class Row:
    """A row.

    Attributes:
        cells: one for every column.
        name: that links lead to; "": none do.
    """

    cells: tuple[Cell, ...]
    name: str = ""


def bar_table(columns: Sequence[Column], rows: Sequence[Row], *, name: str, notes: Sequence[str] = ()) -> Html:
    """A table whose columns can be sorted; the first one names the rows and stays where the others move.

    Args:
        columns: left to right.
        rows: one cell for every column.
        name: that tells it from the other tables of the page.
        notes: lines below.
    """
    titles = [tag("th", column.title, scope="col", class_="number" if column.numeric else None) for column in columns]
    body = (tag("tr", *_cells(row, columns), id=row.name or None) for row in rows)
    table = tag("table", tag("thead", tag("tr", *titles)), tag("tbody", *body), class_="sortable named")
    return joined([wide(table, name=name), *(tag("p", note, class_="note") for note in notes)])


def _cells(row: Row, columns: Sequence[Column]) -> Iterator[Html]:
    for position, (cell, column) in enumerate(zip(row.cells, columns, strict=True)):
        yield _cell(cell, column, position)


def _cell(cell: Cell, column: Column, position: int) -> Html:
    text = tag("code", cell.text, class_="copy") if cell.copy and cell.text else cell.text
    text = tag("a", text, href=f"#{cell.leads_to}") if cell.leads_to else text
    drawn = None if cell.share is None else bar(cell.share, kind=cell.kind, mark=cell.mark)
    kind = "number" if column.numeric else None
    value = None if cell.value is None else "Infinity" if cell.value == math.inf else f"{cell.value:.6g}"
    if position == 0:
        return tag("th", text, drawn, scope="row", data_value=value)
    return tag("td", text, drawn, class_=kind, data_value=value)


def bar(share: float, *, kind: str, mark: float | None = None) -> Html:
    """A bar of 0..1 of its cell's width."""
    line = None if mark is None else tag("rect", class_="mark", x=_WIDTH * mark - 1, width=2, height=_HEIGHT)
    filled = tag("rect", class_=kind, y=1, width=_WIDTH * share, height=_HEIGHT - 2)
    return _flat(filled, line, kind="bar")


def _flat(*parts: Html | None, kind: str) -> Html:
    """A drawing as wide as there is room, for eyes only."""
    box = f"0 0 {_WIDTH} {_HEIGHT}"
    return tag("svg", *parts, class_=kind, viewBox=box, preserveAspectRatio="none", aria_hidden="true")


def stacked_bar(parts: Sequence[tuple[str, str, float]], *, title: str) -> Html:
    """One bar of several parts, with their names below.

    Args:
        parts: (name, kind, size) from left to right.
        title: what it is, for those who cannot see it.
    """
    total = sum(size for _, _, size in parts) or 1.0
    rects, at = [], 0.0
    for _, kind, size in parts:
        rects.append(tag("rect", class_=kind, x=_WIDTH * at / total, width=_WIDTH * size / total, height=_HEIGHT))
        at += size
    legend = [tag("li", key(kind), name) for name, kind, _ in parts]
    return joined([_flat(*rects, kind="stack"), tag("ul", *legend, class_="legend", aria_label=title)])


def key(kind: str) -> Html:
    """A square in the colour of a kind, for legends."""
    square = tag("rect", class_=kind, width=10, height=10)
    return tag("svg", square, class_="key", viewBox="0 0 10 10", aria_hidden="true")
