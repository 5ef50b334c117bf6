"""Times of a file's operators, as data and as text with bars."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tfmpq.text import Block, Column, Lines, Table, plural, to_terminal

TOLERANCE = 0.05  # of the whole; the sum explains it if it comes so near
_BAR = 24  # columns of the longest bar
_TIMES = (Column("us", numeric=True), Column("share", numeric=True), Column(""))
_OPERATORS = (
    Column("op", numeric=True),
    Column("operator", least=16),
    Column("layer", least=16),
    Column("shapes", least=16, spare=True),
    *_TIMES,
)


@dataclass(frozen=True)
class OpTime:
    """One operator.

    Attributes:
        op: its number in the main graph.
        op_name: such as ``CONV_2D``.
        layer: the Keras layer it belongs to, as far as the file's names tell.
        inputs, outputs: shapes of the activations it reads and writes.
        microseconds: median time; None where it was not timed by itself.
        share: of the sum of all operators, 0..1; None likewise.
        note: why there is no time, or what is special about it; "" if nothing is.
    """

    op: int
    op_name: str
    layer: str
    inputs: tuple[tuple[int, ...], ...]
    outputs: tuple[tuple[int, ...], ...]
    microseconds: float | None
    share: float | None
    note: str

    def cells(self) -> tuple[str, ...]:
        """Its line in the table, but for the bar."""
        sides = (" ".join("x".join(map(str, shape)) for shape in side[:1]) for side in (self.inputs, self.outputs))
        return (
            str(self.op),
            self.op_name,
            self.layer,
            " -> ".join(sides),
            "-" if self.microseconds is None else f"{self.microseconds:.1f}",
            "" if self.share is None else f"{self.share:.1%}",
        )


@dataclass(frozen=True)
class PerOp:
    """Result of :func:`tfmpq.analysis.per_op.per_op`.

    Attributes:
        rows: every operator of the main graph, in its order.
        whole_us: median time of one inference with the whole file.
        sum_us: sum of the operators' times, and once what a run costs beyond them.
        overhead_us: that cost; it is taken off every operator's time.
        agreement: sum over whole; within 5 % of 1 the parts explain the whole.
        reasons: likely reasons where it is not; empty where it is.
        rounds: how often everything ran.
        threads: CPU threads.
        delegate: ``"xnnpack"`` or ``"builtin"``.
        runtime: interpreter and version.
    """

    rows: tuple[OpTime, ...]
    whole_us: float
    sum_us: float
    overhead_us: float
    agreement: float
    reasons: tuple[str, ...]
    rounds: int
    threads: int
    delegate: str
    runtime: str

    def by_layer(self) -> dict[str, float]:
        """Microseconds by Keras layer, in graph order."""
        return self._total(lambda row: row.layer)

    def by_name(self) -> dict[str, float]:
        """Microseconds by operator name, in order of first use."""
        return self._total(lambda row: row.op_name)

    def _total(self, key: Callable[[OpTime], str]) -> dict[str, float]:
        total: dict[str, float] = {}
        for row in self.rows:
            total[key(row)] = total.get(key(row), 0.0) + (row.microseconds or 0.0)
        return total

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON, with the totals by layer and by operator name."""
        return {**dataclasses.asdict(self), "by_layer": self.by_layer(), "by_name": self.by_name()}

    def blocks(self) -> tuple[Block, ...]:
        """What there is to read, for :mod:`tfmpq.text`: operators, layers by time, and what the sum explains."""
        return (
            _operators(self.rows),
            _totals("by layer", self.by_layer()),
            _totals("by kind of operator", self.by_name()),
            Lines(tuple(_summary(self))),
        )

    def __str__(self) -> str:
        return to_terminal(self.blocks())


def _operators(rows: Sequence[OpTime]) -> Table:
    longest = max((row.microseconds or 0.0 for row in rows), default=0.0)
    notes: dict[str, list[str]] = {}
    for row in rows:
        if row.note:
            notes.setdefault(row.note, []).append(str(row.op))
    return Table(
        _OPERATORS,
        tuple((*row.cells(), _bar(row.microseconds, longest)) for row in rows),
        title="by operator",
        notes=tuple(f"op {', '.join(numbers)}: {note}" for note, numbers in notes.items()),
    )


def _totals(title: str, times: Mapping[str, float]) -> Table:
    """Longest first."""
    total, longest = sum(times.values()), max(times.values(), default=0.0)
    return Table(
        (Column("", least=16), *_TIMES),
        tuple(
            (name, f"{value:.1f}", f"{value / total:.1%}" if total else "", _bar(value, longest))
            for name, value in sorted(times.items(), key=lambda item: -item[1])
        ),
        title=title,
    )


def _bar(value: float | None, longest: float) -> str:
    return "#" * round(_BAR * (value or 0.0) / longest) if longest else ""


def _summary(result: PerOp) -> Iterator[str]:
    yield (
        f"whole {result.whole_us:.0f} us, sum {result.sum_us:.0f} us = {result.agreement:.1%} of it "
        f"({result.overhead_us:.1f} us a run, taken off each operator, counted once)"
    )
    if result.reasons:
        side = "above" if result.agreement > 1 else "below"
        share, most = abs(result.agreement - 1), f"{100 * TOLERANCE:.0f} %"
        yield f"the sum is {share:.0%} {side} the whole, more than {most}; likely reasons:"
        yield from (f"  * {reason}" for reason in result.reasons)
    threads = plural(result.threads, "thread")
    yield f"{threads}, {result.delegate} kernels, {result.runtime}, medians of {result.rounds} rounds"
