"""What a gate found, as data and as text."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from converters.runtime.interpreter import Kernels
from tfmpq.analysis.metrics import TOP1
from tfmpq.gate.judge import VERDICTS, Judgement, Verdict
from tfmpq.gate.measured import Measured
from tfmpq.text import Block, Column, Facts, Lines, Table, to_plain, to_terminal

COLUMNS = (
    Column("limit"),
    *(Column(title, numeric=True) for title in ("allowed", "measured", "95 % interval")),
    Column("verdict"),
)


@dataclass(frozen=True)
class CheckedFile:
    """One of the two files.

    Attributes:
        path: as it was given; of one given by its content, words for that.
        bytes: its size.
        sha256: of its content.
    """

    path: str
    bytes: int
    sha256: str


@dataclass(frozen=True)
class CheckResult:
    """Result of :func:`tfmpq.gate.check.check`.

    Attributes:
        file: what was checked.
        against: the base.
        judgements: one for each limit, in their order.
        measured: what they were judged by.
        metric: what the samples were judged by.
        kernels: which kernels ran the files.
        threads: CPU threads.
        runtime: interpreter and version.
        seed: of what was drawn by chance.
        notes: what makes the figures doubtful.
    """

    file: CheckedFile
    against: CheckedFile
    judgements: tuple[Judgement, ...]
    measured: Measured
    metric: str
    kernels: Kernels
    threads: int
    runtime: str
    seed: int
    notes: tuple[str, ...] = ()

    @property
    def held(self) -> bool:
        """Whether all limits hold with confidence."""
        return self.verdict == "held"

    @property
    def verdict(self) -> Verdict:
        """The worst of all: failed, cannot be told, held."""
        found = {judgement.verdict for judgement in self.judgements}
        return next(verdict for verdict in VERDICTS if verdict in found)

    def but(self, verdict: Verdict) -> tuple[str, ...]:
        """What did not hold in this way, a sentence each."""
        return tuple(f"{j.limit} {j.verdict}: {j.message}" for j in self.judgements if j.verdict == verdict)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON, which has no infinity: None."""
        return to_plain({"verdict": self.verdict, **dataclasses.asdict(self)})

    def blocks(self) -> tuple[Block, ...]:
        """What there is to read, for :mod:`tfmpq.text`."""
        rows = [("file", _named(self.file)), ("against", _named(self.against))]
        if self.measured.samples is not None:
            rows.append(("samples", f"{self.measured.samples:,}  ({self.runtime}, {self.kernels} kernels)"))
        return (
            Facts(tuple(rows)),
            Table(COLUMNS, tuple(cells_of(self, judgement) for judgement in self.judgements), notes=legend([self])),
            Lines((*self.but("failed"), *self.but("cannot be told"))),
            Lines(tuple(f"warning: {note}" for note in self.notes)),
        )

    def __str__(self) -> str:
        return to_terminal(self.blocks())


def cells_of(result: CheckResult, judgement: Judgement) -> tuple[str, ...]:
    """One of the result's judgements under :data:`COLUMNS`."""
    form = _FORMS[judgement.limit]
    unit = (" points" if result.metric == TOP1 else f" {result.metric}") if judgement.limit == "max_drop" else ""
    span = "exact"
    if judgement.method and judgement.low is not None and judgement.high is not None:
        span = f"{form(judgement.low)} to {form(judgement.high)}"
    measured = "-" if judgement.measured is None else form(judgement.measured)
    cells = (judgement.limit, f"{form(judgement.allowed)}{unit}", measured)
    return (*cells, "-" if judgement.measured is None else span, judgement.verdict)


def legend(results: Sequence[CheckResult]) -> tuple[str, ...]:
    """Where the intervals of results come from."""
    methods = dict.fromkeys(j.method for result in results for j in result.judgements if j.method)
    return (f"each end of an interval holds with 95 %; {'; '.join(methods)}",) if methods else ()


def _named(file: CheckedFile) -> str:
    return f"{file.path}  ({file.bytes:,} bytes, sha256 {file.sha256[:12]})"


_FORMS: dict[str, Callable[[float], str]] = {
    "max_drop": lambda value: f"{value:.3g}",
    "min_agreement": lambda value: f"{value:.4f}",
    "max_kl": lambda value: f"{value:.4g}",
    "max_bytes": lambda value: f"{value:,.0f}",
    "max_bytes_ratio": lambda value: f"{value:.4g}",
    "max_latency_ratio": lambda value: f"{value:.3f}",
}
