"""Results as text: the one place where tables get their widths and lines are wrapped.

A result says what is to be read as a few blocks of plain text cells; here they become a terminal's lines, Markdown or
CSV, and its fields the plain data of JSON. Nothing but this module knows how wide a terminal is: text that goes to
one fits it, other text has always the same lines.
"""

from __future__ import annotations

import csv
import dataclasses
import io
import math
import shutil
import sys
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich import table as rich_table
from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from converters.printable import printable

WIDTH = 120  # at most, and where no terminal is
_NARROWEST = 60
_LABEL = 20  # columns of the labels left of facts
_GAP = 2  # blanks between columns
_INDENT = " " * 4  # of what a long line is continued on


@dataclass(frozen=True)
class Column:
    """A table's column.

    Attributes:
        title: its header.
        numeric: right-aligned.
        least: a table too wide is made narrower by cells that lose their middle; not below this width. None: never.
        spare: where that is not enough, the column is left out, the first of these first.
    """

    title: str
    numeric: bool = False
    least: int | None = None
    spare: bool = False


@dataclass(frozen=True)
class Table:
    """Rows of cells, one line each.

    Attributes:
        columns: left to right.
        rows: one cell for every column.
        title: line above.
        notes: lines below.
    """

    columns: tuple[Column, ...]
    rows: tuple[tuple[str, ...], ...]
    title: str = ""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Facts:
    """(label, text) pairs; a text may have several lines, and a label may be empty: it goes on with the one above."""

    entries: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Lines:
    """Sentences, each on a line of its own; or, with ``code``, lines to copy as they are, below a title."""

    lines: tuple[str, ...]
    title: str = ""
    code: bool = False


Block = Table | Facts | Lines


def to_plain(value: Any) -> Any:
    """Only what JSON knows: text keys, lists, finite numbers; None for others."""
    if isinstance(value, Mapping):
        return {str(key): to_plain(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_plain(entry) for entry in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def to_terminal(blocks: Sequence[Block], *, width: int | None = None) -> str:
    """The blocks one below the other.

    Args:
        blocks: from top to bottom.
        width: columns that lines have at most, except for code; None: :func:`terminal_width`.
    """
    columns = terminal_width() if width is None else width
    return _joined(_terminal(block, columns) for block in blocks)


def terminal_width() -> int:
    """Columns of the terminal that stdout is, from 60 to :data:`WIDTH`; the latter where stdout is none."""
    if sys.stdout is None or sys.stdout.closed or not sys.stdout.isatty():
        return WIDTH
    return min(WIDTH, max(_NARROWEST, shutil.get_terminal_size().columns))


def to_markdown(blocks: Sequence[Block]) -> str:
    """The blocks as Markdown: tables, lists and fenced code."""
    return _joined(_markdown(block) for block in blocks) + "\n"


def to_csv(table: Table) -> str:
    """The cells as they are, under the columns' titles."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(column.title for column in table.columns)
    writer.writerows(table.rows)
    return text.getvalue()


def shorten(text: str, width: int) -> str:
    """``text`` with its middle left out, if it is longer than ``width``; the end tells layers apart best."""
    if len(text) <= width:
        return text
    tail = (width - 3 + 1) * 2 // 3
    return f"{text[: width - 3 - tail]}...{text[len(text) - tail :]}"


def quantity(value: float, unit: str = "") -> str:
    """With a decimal prefix: 12.3 kB."""
    for limit, prefix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= limit:
            return f"{value / limit:.1f} {prefix}{unit}"
    return f"{value} {unit}".rstrip()


def plural(count: int, noun: str) -> str:
    """``1 sample``, ``2 samples``."""
    return f"{count} {noun}" + "s" * (count != 1)


def _joined(blocks: Iterable[Iterator[str]]) -> str:
    """Lines of blocks, those without any left out; names in them come from files."""
    shown = ([printable(line, keep="\t") for line in block] for block in blocks)
    return "\n\n".join("\n".join(lines) for lines in shown if lines)


# ---------------------------------------------------------------- terminal


def _terminal(block: Block, width: int) -> Iterator[str]:
    if isinstance(block, Lines):
        yield from [block.title] if block.title else []
        for line in block.lines:
            yield from [line] if block.code else _wrapped(line, width)
    elif isinstance(block, Facts):
        grid = rich_table.Table.grid(padding=(0, _GAP, 0, 0))
        grid.add_column(width=_LABEL, no_wrap=True)
        grid.add_column(overflow="fold")
        for label, text in block.entries:
            grid.add_row(Text(label), Text(text))
        yield from _rendered(grid, width)
    else:
        yield from [block.title] if block.title else []
        if block.rows:
            yield from _table(block, width)
        for note in block.notes:
            yield from _wrapped(note, width)


def _wrapped(line: str, width: int) -> list[str]:
    indent = line[: len(line) - len(line.lstrip())]
    return textwrap.wrap(line, width, subsequent_indent=indent + _INDENT, break_on_hyphens=False)


def _table(block: Table, width: int) -> Iterator[str]:
    """The table's lines. Names in the first column that would look the same shortened go whole on lines before."""
    block = dataclasses.replace(block, rows=tuple(tuple(map(printable, row)) for row in block.rows))
    block, spared = _fitting(block, width)
    widths = _widths(block, width)
    names = [shorten(row[0], widths[0]) for row in block.rows]
    whole = len(set(names)) < len({row[0] for row in block.rows})
    apart = [row[0] if whole and len(row[0]) > widths[0] else None for row in block.rows]
    table = rich_table.Table(box=None, pad_edge=False, padding=(0, _GAP, 0, 0), header_style="")
    for column, own in zip(block.columns, widths, strict=True):
        title = Text(shorten(column.title, own))
        table.add_column(title, justify="right" if column.numeric else "left", no_wrap=True, width=own)
    for row, name in zip(block.rows, apart, strict=True):
        cells = [shorten(cell, own) for cell, own in zip(row, widths, strict=True)]
        table.add_row(*map(Text, cells if name is None else ["", *cells[1:]]))
    header, *lines = _rendered(table, width)
    yield header
    for name, line in zip(apart, lines, strict=True):
        yield from [] if name is None else [shorten(name, width)]
        yield line
    if spared:
        yield from _wrapped(f"({', '.join(spared)}: on a wider terminal)", width)


def _fitting(block: Table, width: int) -> tuple[Table, list[str]]:
    """The table without the columns that it can do without where there is no room, and their titles."""
    kept, spared = list(range(len(block.columns))), []
    least = [
        natural if column.least is None else min(natural, column.least)
        for column, natural in zip(block.columns, _natural(block), strict=True)
    ]
    for number in [i for i in kept if block.columns[i].spare]:
        if sum(least[i] for i in kept) + _GAP * (len(kept) - 1) <= width:
            break
        kept.remove(number)
        spared.append(block.columns[number].title)
    columns, rows = tuple(block.columns[i] for i in kept), tuple(tuple(row[i] for i in kept) for row in block.rows)
    return dataclasses.replace(block, columns=columns, rows=rows), spared


def _natural(block: Table) -> list[int]:
    columns = zip(*((column.title for column in block.columns), *block.rows), strict=True)
    return [max(map(cell_len, cells)) for cells in columns]


def _widths(block: Table, width: int) -> list[int]:
    """Every column as wide as it needs; while that is too much, the widest that may gives way."""
    widths = _natural(block)
    least = [
        natural if column.least is None else column.least for column, natural in zip(block.columns, widths, strict=True)
    ]
    while sum(widths) + _GAP * (len(widths) - 1) > width:
        yielding = [i for i, (own, floor) in enumerate(zip(widths, least, strict=True)) if own > floor]
        if not yielding:
            break
        widths[max(yielding, key=widths.__getitem__)] -= 1
    return widths


def _rendered(table: rich_table.Table, width: int) -> list[str]:
    text = io.StringIO()
    # No colours, and rich asks no terminal: its lines are compared and kept.
    # In a notebook rich would show a page's HTML instead of writing to the file.
    Console(
        file=text, width=width, color_system=None, force_terminal=False, force_jupyter=False, legacy_windows=False
    ).print(table)
    return [line.rstrip() for line in text.getvalue().splitlines()]


# ---------------------------------------------------------------- Markdown


def _markdown(block: Block) -> Iterator[str]:
    if isinstance(block, Lines):
        yield from [block.title, ""] if block.title else []
        if block.lines:
            yield from ["```", *block.lines, "```"] if block.code else (f"* {line.strip()}" for line in block.lines)
    elif isinstance(block, Facts):
        for label, text in block.entries:
            yield f"* {f'{label}: ' if label else ''}{'; '.join(text.splitlines())}"
    else:
        yield from [f"**{block.title}**", ""] if block.title else []
        if block.rows:
            header = tuple(column.title for column in block.columns)
            rule = tuple("---:" if column.numeric else "---" for column in block.columns)
            for row in (header, rule, *block.rows):
                cells = (printable(cell).replace("|", "\\|") for cell in row)
                yield f"| {' | '.join(cells)} |"
        yield from ["", *(f"* {note}" for note in block.notes)] if block.notes else []
