"""What a sweep found: a table for people, one for spreadsheets, and plain data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tfmpq.files import write_atomic
from tfmpq.storage import Place, placed
from tfmpq.text import Block, Column, Facts, Lines, Table, plural, to_csv, to_markdown, to_plain, to_terminal

NAME = "summary"
_FIELDS = (
    "model", "variant", "budget", "file", "bytes", "stock_bytes", "samples", "top1", "top1_error", "agreement", "kl",
    "sqnr_db", "latency", "seconds", "host",
)  # fmt: skip
TITLES = (
    "model", "variant", "budget", "kB", "of stock", "top-1 % (s.e.)", "agrees %", "KL", "SQNR dB", "latency", "seconds",
)  # fmt: skip

_SPARE = ("kB", "SQNR dB", "seconds")

Plain = dict[str, Any]


@dataclass(frozen=True)
class SweepResult:
    """The rows of a sweep.

    Attributes:
        folder: it is in.
        asked: how many rows the spec names.
        rows: those that are there, in the order of the spec; failed ones have an ``error``.
    """

    folder: Place
    asked: int
    rows: Sequence[Plain]

    @property
    def failed(self) -> list[Plain]:
        """Rows that are errors."""
        return [row for row in self.rows if "error" in row]

    def blocks(self) -> tuple[Block, ...]:
        """For any form of text."""
        about = "agreement, KL and SQNR are against the float file; latency is relative to the model's stock file"
        counts = f"{len(self.rows) - len(self.failed)} of {self.asked}"
        counts += f", {len(self.failed)} failed" if self.failed else ""
        blocks: list[Block] = [Facts((("rows", counts), ("columns", about))), self._table()]
        if self.failed:
            lines = [f"{label(row)}: {row['error']['type']}: {row['error']['message']}" for row in self.failed]
            blocks.append(Lines(("failed:", *lines)))
        return tuple(blocks)

    def __str__(self) -> str:
        return to_terminal(self.blocks())

    def to_dict(self) -> Plain:
        """As plain data."""
        return to_plain({"folder": str(self.folder), "asked": self.asked, "rows": list(self.rows)})

    def save(self) -> None:
        """Writes summary.md and summary.csv into the folder, each in full or not at all."""
        columns = tuple(Column(name) for name in (*_FIELDS, "error"))
        rows = tuple((*(_text(row.get(name)) for name in _FIELDS), _error(row)) for row in self.rows)
        for ending, text in (("md", to_markdown(self.blocks())), ("csv", to_csv(Table(columns, rows)))):
            with placed(self.folder / f"{NAME}.{ending}") as path:
                write_atomic(path, text.encode())

    def _table(self) -> Table:
        rows = [row_cells(row) for row in self.rows if "error" not in row]
        kept = [i for i in range(len(TITLES)) if i < 3 or any(cells[i] for cells in rows)]
        columns = tuple(_column(i) for i in kept)
        warned = sum(bool(row["warnings"]) for row in self.rows)
        notes = (f"{plural(warned, 'row')} with warnings: see results.jsonl",) if warned else ()
        return Table(columns, tuple(tuple(cells[i] for i in kept) for cells in rows), notes=notes)


def _column(number: int) -> Column:
    title = TITLES[number]
    return Column(title, numeric=number > 2, least=12 if number < 2 else None, spare=title in _SPARE)


def label(row: Plain) -> str:
    """A row in a few words."""
    return " ".join(part for part in (row["model"], row["variant"], row["budget"]) if part)


def row_cells(row: Plain) -> tuple[str, ...]:
    """What stands below :data:`TITLES`; what was not measured is empty."""
    top1, error = row.get("top1"), row.get("top1_error")
    return (
        row["model"],
        row["variant"],
        row["budget"],
        f"{row['bytes'] / 1000:.1f}",
        f"{row['bytes'] / row['stock_bytes']:.3f}",
        "" if top1 is None else f"{100 * top1:.2f} ({100 * (error or 0.0):.2f})",
        _number(row.get("agreement"), ".1f", 100),
        _number(row.get("kl"), ".4f"),
        _number(row.get("sqnr_db"), ".1f"),
        _number(row.get("latency"), ".2f"),
        _number(row["seconds"], ".1f"),
    )


def _number(value: float | None, form: str, times: float = 1) -> str:
    return "" if value is None else format(times * value, form)


def _text(value: object) -> str:
    return "" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)


def _error(row: Plain) -> str:
    return f"{row['error']['type']}: {row['error']['message']}" if "error" in row else ""
