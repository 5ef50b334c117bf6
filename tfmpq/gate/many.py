"""What a gate found of many files, as data and as text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tfmpq.gate.judge import VERDICTS, Verdict
from tfmpq.gate.result import COLUMNS, CheckResult, cells_of, legend
from tfmpq.text import Block, Column, Facts, Lines, Table, plural, to_plain, to_terminal


@dataclass(frozen=True)
class CheckedRow:
    """One file of a sweep.

    Attributes:
        label: model, variant and budget.
        file: its path, relative to the sweep's folder.
        result: what was found; None: nothing could be.
        error: why; empty where there is a result.
    """

    label: str
    file: str
    result: CheckResult | None = None
    error: str = ""

    @property
    def verdict(self) -> Verdict:
        """What cannot be judged has failed: there is nothing to release."""
        return "failed" if self.result is None else self.result.verdict

    def but(self, verdict: Verdict) -> tuple[str, ...]:
        """What did not hold in this way, a sentence each."""
        if self.result is None:
            return (f"{self.label}: {self.error}",) if verdict == "failed" else ()
        return tuple(f"{self.label}: {line}" for line in self.result.but(verdict))


@dataclass(frozen=True)
class SweepCheck:
    """All files of a sweep beside their bases.

    Attributes:
        folder: of the sweep.
        against: what the bases are: ``stock``, ``float32``, or the folder of a former sweep.
        rows: in the order of the spec.
    """

    folder: str
    against: str
    rows: Sequence[CheckedRow]

    @property
    def verdict(self) -> Verdict:
        """The worst of all."""
        found = {row.verdict for row in self.rows}
        return next(verdict for verdict in VERDICTS if verdict in found)

    def but(self, verdict: Verdict) -> tuple[str, ...]:
        """What did not hold in this way, a sentence each."""
        return tuple(line for row in self.rows for line in row.but(verdict))

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON; a row's result is as of one file."""
        rows = [
            {
                "label": row.label,
                "file": row.file,
                "verdict": row.verdict,
                "result": None if row.result is None else row.result.to_dict(),
                "error": row.error,
            }
            for row in self.rows
        ]
        return to_plain({"verdict": self.verdict, "folder": self.folder, "against": self.against, "rows": rows})

    def blocks(self) -> tuple[Block, ...]:
        """For any form of text."""
        results = [row.result for row in self.rows if row.result is not None]
        lines = [
            (row.label, *cells_of(row.result, judgement))
            for row in self.rows
            if row.result is not None
            for judgement in row.result.judgements
        ]
        counts = [f"{sum(row.verdict == v for row in self.rows)} {v}" for v in reversed(VERDICTS)]
        about = (("files", f"{plural(len(self.rows), 'file')}: {', '.join(counts)}"), ("against", self.against))
        notes = dict.fromkeys(note for result in results for note in result.notes)
        return (
            Facts(about),
            Table((Column("file", least=16), *COLUMNS), tuple(lines), notes=legend(results)),
            Lines((*self.but("failed"), *self.but("cannot be told"))),
            Lines(tuple(f"warning: {note}" for note in notes)),
        )

    def __str__(self) -> str:
        return to_terminal(self.blocks())
