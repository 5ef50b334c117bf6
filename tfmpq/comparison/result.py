"""What a comparison found: a row a method and number of bits, as text and in files."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tfmpq.comparison.methods import METHODS
from tfmpq.comparison.quality import Quality
from tfmpq.files import write_atomic
from tfmpq.text import Block, Column, Facts, Table, to_csv, to_markdown, to_plain, to_terminal

FLOAT, STOCK = "float32", "stock int8"
NAME = "compare"  # of the files written
_TITLES = (
    "method", "bits", "score", "top-1 % (s.e.)", "agrees %", "KL", "SQNR dB", "kB", "of stock", "latency", "seconds",
)  # fmt: skip
_SPARE = ("SQNR dB", "kB", "seconds")


@dataclass(frozen=True)
class Row:
    """One file.

    Attributes:
        method: of :data:`tfmpq.comparison.methods.METHODS`, or ``"float32"``, ``"stock int8"``.
        bits: of its low-bit layers; 32 of the float file.
        quality: on the labelled data; None: there is no file.
        score: by the caller's function; None: there is none.
        bytes: of the file; of methods that copy columns, with those copies as the method stores them.
        file_bytes: of the file as it is.
        latency: relative to stock int8; None: not measured.
        seconds: from the float file to this one, with what methods share.
        notes: what the conversion says of the method's own choices.
        failure: why there is no file.
    """

    method: str
    bits: int
    quality: Quality | None = None
    score: float | None = None
    bytes: int | None = None
    file_bytes: int | None = None
    latency: float | None = None
    seconds: float | None = None
    notes: tuple[str, ...] = ()
    failure: str = ""


@dataclass(frozen=True)
class MethodComparison:
    """All rows, in the order of the table.

    Attributes:
        model: what it is called.
        samples: that the files were run on.
        rows: float and stock int8 first.
    """

    model: str
    samples: int
    rows: Sequence[Row]

    def table(self) -> Table:
        """One line a file."""
        stock = next((row.bytes for row in self.rows if row.method == STOCK and row.bytes), None)
        rows = [_cells(row, stock) for row in self.rows]
        # Columns that say nothing of this model are left out.
        kept = [i for i in range(len(_TITLES)) if any(cells[i] for cells in rows)]
        columns = tuple(Column(_TITLES[i], numeric=i > 0, spare=_TITLES[i] in _SPARE) for i in kept)
        return Table(columns, tuple(tuple(cells[i] for i in kept) for cells in rows), notes=tuple(self._notes()))

    def _notes(self) -> list[str]:
        used = dict.fromkeys(row.method for row in self.rows if row.method in METHODS)
        notes = [f"{name}: {METHODS[name].what}" for name in used]
        for row in self.rows:
            if row.failure:
                notes.append(f"{row.method}, {row.bits} bits, failed: {row.failure}")
            if row.bytes != row.file_bytes:
                notes.append(
                    f"{row.method}, {row.bits} bits: counted with copied columns of {row.bits} bits; its file holds "
                    f"the same numbers as int8 rows, {(row.file_bytes or 0) / 1000:.1f} kB, and its latency is that "
                    "of those"
                )
            notes += [f"{row.method}, {row.bits} bits: {note}" for note in row.notes]
        return notes

    def blocks(self) -> tuple[Block, ...]:
        """For any form of text."""
        about = "agreement, KL and SQNR are against the float file; latency is relative to stock int8"
        return (Facts((("model", self.model), ("samples", str(self.samples)), ("columns", about))), self.table())

    def __str__(self) -> str:
        return to_terminal(self.blocks())

    def to_dict(self) -> dict[str, Any]:
        """As plain data."""
        return to_plain({"model": self.model, "samples": self.samples, "rows": [_plain(row) for row in self.rows]})

    def save(
        self,
        folder: str | os.PathLike[str],
        *,
        name: str = NAME,
        schema: str | None = None,
        made_by: Mapping[str, Any] | None = None,
    ) -> list[Path]:
        """Writes compare.md, compare.csv and compare.json, each in full or not at all.

        Args:
            folder: that exists.
            name: of the files, without their endings.
            schema: that the JSON is to name.
            made_by: what else the JSON is to say.

        Returns:
            Their paths.
        """
        about = {"schema": schema, **self.to_dict(), "made_by": None if made_by is None else dict(made_by)}
        content = {key: value for key, value in about.items() if value is not None}
        texts = {
            "md": to_markdown(self.blocks()),
            "csv": to_csv(self.table()),
            "json": json.dumps(content, indent=2) + "\n",
        }
        paths = [Path(folder) / f"{name}.{ending}" for ending in texts]
        for path, text in zip(paths, texts.values(), strict=True):
            write_atomic(path, text.encode())
        return paths


def _plain(row: Row) -> dict[str, Any]:
    fields = asdict(row)
    return {**{k: v for k, v in fields.items() if k != "quality"}, **(fields["quality"] or {})}


def _cells(row: Row, stock: int | None) -> tuple[str, ...]:
    found = row.quality or Quality(None, None, None, None, ())
    top1 = "" if found.top1 is None else f"{100 * found.top1:.2f} ({100 * (found.top1_error or 0.0):.2f})"
    noise = min((n for n in found.sqnr_db if math.isfinite(n)), default=None)
    return (
        row.method,
        str(row.bits),
        _number(row.score, ".2f"),
        top1,
        _number(None if found.agreement is None else 100 * found.agreement, ".1f"),
        _number(found.kl, ".4f"),
        _number(noise, ".1f"),
        _number(None if row.bytes is None else row.bytes / 1000, ".1f"),
        _number(row.bytes / stock if row.bytes and stock else None, ".3f"),
        _number(row.latency, ".2f"),
        _number(row.seconds, ".0f"),
    )


def _number(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)
