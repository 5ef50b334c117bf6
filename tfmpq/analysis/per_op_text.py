"""Operator times as text, at most 120 columns wide."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from tfmpq.report.report_text import WIDTH, shorten

if TYPE_CHECKING:
    from tfmpq.analysis.per_op import OpTime, PerOp

_BAR = 24  # columns of the longest bar
_LAYER = 34  # columns a layer name may take
_SHAPES = 30


def render(result: PerOp) -> str:
    """Operators in graph order, layers by time, and how far the sum explains the whole."""
    total = sum(row.microseconds or 0.0 for row in result.rows)
    blocks = [
        ["by operator", *_operators(result.rows)],
        ["by layer", *_totals(result.by_layer(), total)],
        ["by kind of operator", *_totals(result.by_name(), total)],
        list(_summary(result)),
    ]
    return "\n\n".join("\n".join(block) for block in blocks)


def _operators(rows: Sequence[OpTime]) -> Iterator[str]:
    longest = max((row.microseconds or 0.0 for row in rows), default=0.0)
    cells = [
        (
            str(row.op),
            shorten(row.op_name, 20),
            shorten(row.layer, _LAYER),
            shorten(_shape(row), _SHAPES),
            "-" if row.microseconds is None else f"{row.microseconds:.1f}",
            "" if row.share is None else f"{row.share:.1%}",
        )
        for row in rows
    ]
    header = ("op", "operator", "layer", "shapes", "us", "share")
    widths = [max(len(line[i]) for line in (header, *cells)) for i in range(len(header))]
    bar = min(_BAR, WIDTH - sum(widths) - 2 * len(widths))

    def line(row: Sequence[str], end: str) -> str:
        aligned = [
            cell.ljust(w) if 1 <= i <= 3 else cell.rjust(w) for i, (cell, w) in enumerate(zip(row, widths, strict=True))
        ]
        return "  ".join([*aligned, end]).rstrip()

    yield line(header, "")
    for row, texts in zip(rows, cells, strict=True):
        yield line(texts, _bar(row.microseconds, longest, bar))
    notes: dict[str, list[str]] = {}
    for row in rows:
        if row.note:
            notes.setdefault(row.note, []).append(str(row.op))
    for note, numbers in notes.items():
        yield from textwrap.wrap(f"op {', '.join(numbers)}: {note}", WIDTH, subsequent_indent=" " * 4)


def _shape(row: OpTime) -> str:
    sides = (" ".join("x".join(map(str, shape)) for shape in side[:1]) for side in (row.inputs, row.outputs))
    return " -> ".join(sides)


def _totals(times: Mapping[str, float], total: float) -> Iterator[str]:
    ordered = sorted(times.items(), key=lambda item: -item[1])
    longest = ordered[0][1] if ordered else 0.0
    width = max((len(shorten(name, 2 * _LAYER)) for name in times), default=0)
    for name, value in ordered:
        share = f"{value / total:.1%}" if total else ""
        yield f"{shorten(name, 2 * _LAYER):<{width}}  {value:>9.1f}  {share:>6}  {_bar(value, longest, _BAR)}".rstrip()


def _bar(value: float | None, longest: float, width: int) -> str:
    return "#" * round(width * (value or 0.0) / longest) if longest else ""


def _summary(result: PerOp) -> Iterator[str]:
    yield (
        f"whole {result.whole_us:.0f} us, sum {result.sum_us:.0f} us = {result.agreement:.1%} of it "
        f"({result.overhead_us:.1f} us a run, taken off each operator, counted once)"
    )
    if result.reasons:
        side = "above" if result.agreement > 1 else "below"
        yield f"the sum is {abs(result.agreement - 1):.0%} {side} the whole, more than 5 %; likely reasons:"
        yield from (f"  * {reason}" for reason in result.reasons)
    threads = "1 thread" if result.threads == 1 else f"{result.threads} threads"
    yield f"{threads}, {result.delegate} kernels, {result.runtime}, medians of {result.rounds} rounds"
