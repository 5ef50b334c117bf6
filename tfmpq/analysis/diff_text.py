"""A comparison as text, at most 120 columns wide."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from tfmpq.report.report_text import WIDTH, rule_lines, shorten

if TYPE_CHECKING:
    from tfmpq.analysis.diff import Diff, LayerDiff

_MOST = 40  # layers in the table
_NAMED = 12
_HEADER = ("layer", "op", "output", "bits", "own SQNR", "own steps", "SQNR", "cosine", "steps")
_LEFT = 3  # columns that are text
_LIMITS = (38, 22, 15)  # their widths
_LEGEND = (
    "SQNR in dB, first file's output to difference; steps: largest difference in steps of the layer's output.",
    "own: the layer is given what the first file computed before it. The other columns: both files run by themselves.",
)


def render(result: Diff) -> str:
    """Layers, worst own error first; then what to do."""
    blocks = [list(_table(result.layers)), list(_notes(result)), list(_advice(result))]
    return "\n\n".join("\n".join(block) for block in blocks if block)


def _table(layers: Sequence[LayerDiff]) -> Iterator[str]:
    rows = [_HEADER, *(_cells(layer) for layer in layers[:_MOST])]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        padded = [
            cell.ljust(width) if i < _LEFT else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        yield "  ".join(padded).rstrip()
    if len(layers) > _MOST:
        yield f"and {len(layers) - _MOST} that differ less (--json lists all)"
    yield from _LEGEND


def _cells(layer: LayerDiff) -> tuple[str, ...]:
    texts = (layer.layer, layer.op, "x".join(map(str, layer.shape)))
    return (
        *(shorten(text, limit) for text, limit in zip(texts, _LIMITS, strict=True)),
        "-" if layer.bits is None else str(layer.bits),
        _decibels(layer.own_sqnr_db),
        _steps(layer.own_max_step),
        _decibels(layer.sqnr_db),
        f"{layer.cosine:.4f}",
        _steps(layer.max_step),
    )


def _decibels(value: float) -> str:
    return "equal" if value == math.inf else f"{value:.1f}"


def _steps(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"


def _notes(result: Diff) -> Iterator[str]:
    samples = "1 sample" if result.samples == 1 else f"{result.samples} samples"
    kernels = " and ".join(dict.fromkeys(result.kernels))
    yield f"{samples}, {kernels} kernels, {result.runtime}"
    if result.reordered:
        yield f"the second file has the channels of {result.reordered} layers in another order; they were matched"
    for names, which in ((result.only_first, "first"), (result.only_second, "second")):
        if names:
            listed = ", ".join(shorten(name, _LIMITS[0]) for name in names[:_NAMED])
            more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
            yield shorten(f"only in the {which} file: {listed}{more}", WIDTH)


def _advice(result: Diff) -> Iterator[str]:
    if not result.suggestions:
        yield "no rule to suggest: " + (
            "the second file is not one of tfmpq's"
            if not result.written_by_tfmpq
            else "no layer below 8 bits has a notable part in the difference"
        )
        return
    yield "to take most of their own error off the worst layers, add to the recipe of the second file's conversion:"
    for suggestion in result.suggestions:
        yield from rule_lines(suggestion)
