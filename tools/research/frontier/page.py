"""All files of a sweep as a page: a chart of each model with every tool's files, peers among them, and a table."""

from __future__ import annotations

from collections.abc import Sequence

from tfmpq.comparison.frontier import MeasuredFile, frontier_charts
from tfmpq.html.page import Page, Section
from tfmpq.html.scatter import charts
from tfmpq.html.tables import Cell, bar_table
from tfmpq.html.tables import Row as TableRow
from tfmpq.html.tags import Html, joined, tag
from tfmpq.text import Column, plural
from tools.research.frontier.rows import FLOAT_FILE, STOCK, Row
from tools.research.frontier.tables import average_seeds, is_stock

_FAR_BELOW = 25.0  # percentage points below stock's agreement: such files would flatten all others
_COLUMNS = (
    Column("file"),
    *(Column(title, numeric=True) for title in ("kB", "score, %", "s.e.", "agrees, %", "KL", "latency", "seconds")),
)


def frontier_page(rows: Sequence[Row], heading: Sequence[str]) -> Page:
    """The page of a sweep.

    Args:
        rows: of all models; means over seeds are shown.
        heading: how, when and on what they were measured.
    """
    means = [group.row for group in average_seeds(rows)]
    models = list(dict.fromkeys(row.model for row in means))
    sections = [Section("about", "What was measured", joined(tag("p", line) for line in heading if line))]
    for number, model in enumerate(models):
        own = [row for row in means if row.model == model]
        sections.append(Section(f"model-{number}", model, joined([_charts(own, number), _table(own, number)])))
    tools = ", ".join(dict.fromkeys(row.tool for row in means))
    return Page("frontier", f"{plural(len(models), 'model')}, {plural(len(means), 'file')}: {tools}", tuple(sections))


def _charts(rows: Sequence[Row], model: int) -> Html | None:
    stock = next((row for row in rows if is_stock(row) and row.bytes), None)
    if stock is None or not stock.bytes:
        return None
    lowest = (stock.agreement or 0.0) - _FAR_BELOW
    files, far = [], 0
    for number, row in enumerate(rows):
        if row.configuration == FLOAT_FILE or row.bytes is None:
            continue
        if row.agreement is not None and row.agreement < lowest:
            far += 1
            continue
        files.append(_measured(row, _name(model, number), stock.bytes))
    notes = [f"not drawn: {plural(far, 'file')}, more than {_FAR_BELOW:.0f} points of agreement below stock"] * bool(
        far
    )
    return joined([charts(frontier_charts(files)), *(tag("p", note, class_="note") for note in notes)])


def _measured(row: Row, name: str, stock: int) -> MeasuredFile:
    details = [] if row.score is None else [f"score {row.score:.2f} %"]
    details += [] if row.agreement is None else [f"agrees on {row.agreement:.1f} %"]
    return MeasuredFile(
        label=_label(row),
        series=row.tool,
        leads_to=name,
        bytes=row.bytes or 0,
        stock_bytes=stock,
        samples=row.samples,
        agreement=None if row.agreement is None else row.agreement / 100,
        kl=row.kl,
        sqnr_db=row.sqnr_db,
        latency=row.latency,
        details=tuple(details),
    )


def _table(rows: Sequence[Row], model: int) -> Html:
    found = [TableRow(tuple(_cells(row)), _name(model, number)) for number, row in enumerate(rows)]
    return bar_table(_COLUMNS, found, name=rows[0].model)


def _cells(row: Row) -> list[Cell]:
    figures = (
        (None if row.bytes is None else row.bytes / 1000, ".1f"),
        (row.score, ".2f"),
        (row.score_error, ".2f"),
        (row.agreement, ".1f"),
        (row.kl, ".4f"),
        (row.latency, ".3f"),
        (row.seconds, ".0f"),
    )
    return [Cell(_label(row)), *(Cell("-" if value is None else format(value, form), value) for value, form in figures)]


def _label(row: Row) -> str:
    parts = (
        row.tool if row.tool != STOCK else "",
        row.configuration,
        row.lowering if row.lowering != row.configuration else "",
        f"{row.bits} bits" if row.bits and row.tool != STOCK else "",
        row.budget,
        f"{row.views} views" if row.views > 1 else "",
    )
    return " ".join(filter(None, parts))


def _name(model: int, number: int) -> str:
    return f"file-{model}-{number}"
