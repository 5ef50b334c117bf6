"""Delegate coverage in words: which operators XNNPACK left to slower kernels, why, and what to change."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from converters.frontend.unknown_file import open_file
from converters.layers.op_layers import op_layers
from converters.runtime.delegation import delegate_coverage
from converters.runtime.interpreter import runtime_name
from converters.tflite.reader import load
from tfmpq.analysis.coverage_rules import REASONS, Situation, dynamic_ops
from tfmpq.text import Block, Lines, plural, shorten, to_terminal

_NAME = 40
_UNKNOWN = "for a reason that tfmpq does not know"


@dataclass(frozen=True)
class LeftOut:
    """An operator that the delegate did not take.

    Attributes:
        op: its number in the main graph.
        op_name: such as ``CONV_2D``.
        layer: its Keras layer, as far as the file's names tell.
        reason: which row of the table explains it; None: it is not known.
        why: the reason in words; "" if it is not known.
        change: what to do about it; "" likewise.
    """

    op: int
    op_name: str
    layer: str
    reason: str | None
    why: str
    change: str


@dataclass(frozen=True)
class CoverageReport:
    """Result of :func:`explain`.

    Attributes:
        delegated_ops: operators that the delegate runs.
        total_ops: operators of the main graph.
        partitions: pieces it runs them in.
        left: the others, in graph order.
        runtime: interpreter and version: another one may take more or less.
    """

    delegated_ops: int
    total_ops: int
    partitions: int
    left: tuple[LeftOut, ...]
    runtime: str

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return dataclasses.asdict(self)

    def blocks(self) -> tuple[Block, ...]:
        """What there is to read, for :mod:`tfmpq.text`."""
        return (Lines(tuple(_lines(self))),)

    def __str__(self) -> str:
        return to_terminal(self.blocks())


def explain(content: bytes, *, interpreter: Any = None) -> CoverageReport:
    """Says of each operator that XNNPACK did not take why, and what to change.

    Args:
        content: a .tflite file.
        interpreter: one of it with the runtime's default delegates, allocated and not run yet; None: one is made.

    Raises:
        FileFormatError: The file cannot be read or run.
    """
    model = load(content)
    coverage = delegate_coverage(open_file(content) if interpreter is None else interpreter)
    layers = op_layers(model)
    dynamic = dynamic_ops(model.graph)
    left = []
    for number, _ in coverage.left:
        op = model.graph.ops[number]
        layer = layers.names[op]
        left.append(_explain(number, Situation(op, op in dynamic, layer in layers.known, layer)))
    return CoverageReport(coverage.delegated_ops, coverage.total_ops, coverage.partitions, tuple(left), runtime_name())


def _explain(number: int, situation: Situation) -> LeftOut:
    words = situation.words()
    for reason in REASONS:
        if reason.applies(situation):
            change = reason.change_ours if situation.ours and reason.change_ours else reason.change
            # The advice on an operator may be a word itself.
            texts = (reason.why.format(**words), change.format(**words))
            return LeftOut(number, situation.op.name, situation.layer, reason.name, *texts)
    return LeftOut(number, situation.op.name, situation.layer, None, "", "")


def _lines(report: CoverageReport) -> Iterator[str]:
    pieces = plural(report.partitions, "partition")
    yield f"XNNPACK runs {report.delegated_ops} of {report.total_ops} operators in {pieces} ({report.runtime})"
    groups: dict[tuple[str, str, str], list[LeftOut]] = {}
    for entry in report.left:
        groups.setdefault((entry.op_name, entry.why, entry.change), []).append(entry)
    for (name, why, change), entries in groups.items():
        places = ", ".join(f"op {entry.op} ({shorten(entry.layer, _NAME)})" for entry in entries)
        yield f"{name} left to slower kernels {f'because {why}' if why else _UNKNOWN}: {places}"
        if change:
            yield f"    -> {change}"
