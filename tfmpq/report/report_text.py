"""A report as text, at most 120 columns wide."""

from __future__ import annotations

import math
import re
import textwrap
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from converters.runtime.delegation import Coverage

if TYPE_CHECKING:
    from tfmpq.report.proxies import Closeness, Proxies
    from tfmpq.report.report import LayerReport, Report, Suggestion

WIDTH = 120
_LABEL = 22  # columns of the labels left of the figures
_NAME = 60  # columns a layer name may take inside a sentence
_PIECE = 50  # characters of a pattern on one line of a rule that needs several; each may take two columns
_OUTPUTS = 8  # more are in the dict
_HEADER = (
    "layer", "op", "weight", "bits", "algorithm", "rows by points", "lowering", "stock B", "bytes", "SQNR dB", "error",
)  # fmt: skip
_LEFT_ALIGNED = ("layer", "op", "weight", "algorithm", "rows by points", "lowering")
# What gives way where the table is too wide, and down to what.
_SHRINK = (("layer", 24), ("algorithm", 8), ("rows by points", 12), ("layer", 12), ("weight", 9))
_LEGEND = "SQNR: layer output to weight rounding error. error: share of the predicted error at the network's output."
_SHORT_OPS = {
    "CONV_2D": "conv",
    "DEPTHWISE_CONV_2D": "depthwise",
    "FULLY_CONNECTED": "dense",
    "TRANSPOSE_CONV": "transpose",
}


def render(report: Report) -> str:
    """The whole report."""
    blocks = [
        _table(report.layers),
        [*_totals(report), *_calibration(report), *_accuracy(report.proxies)],
        _grouped(
            "written otherwise", [(f.layer, f"{f.used} instead of {f.asked}: {f.reason}") for f in report.fallbacks]
        ),
        _grouped("left as in stock", [(s.name, f"{s.op}: {s.reason}") for s in report.skipped]),
        _lowering_costs(report),
        _lines("validation", "not done" if report.validation is None else str(report.validation)),
        list(_suggestions(report.suggestions)),
        _lines("time", _seconds(report.seconds)),
        [line for note in report.notes for line in _lines("note", note)],
    ]
    return "\n\n".join("\n".join(block) for block in blocks if block)


def shorten(text: str, width: int) -> str:
    """``text`` with its middle left out, if it is longer than ``width``; the end tells layers apart best."""
    if len(text) <= width:
        return text
    tail = (width - 3 + 1) * 2 // 3
    return f"{text[: width - 3 - tail]}...{text[len(text) - tail :]}"


def _lines(label: str, text: str) -> list[str]:
    """``text`` behind a label, its own line breaks kept and long lines wrapped."""
    result = []
    for line in text.splitlines():
        result += textwrap.wrap(line, WIDTH - _LABEL, break_on_hyphens=False, subsequent_indent="  ")
    return [f"{head:<{_LABEL}}{line}" for head, line in zip([label, *[""] * len(result)], result, strict=False)]


def _table(layers: Sequence[LayerReport]) -> list[str]:
    rows = [list(_HEADER), *(_row(layer) for layer in layers)]
    algorithms = {layer.algorithm for layer in layers if layer.algorithm}
    header = list(_HEADER)
    if len(algorithms) <= 1:  # the same everywhere: not worth a column
        column = header.index("algorithm")
        for row in (header, *rows):
            del row[column]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for name, floor in _SHRINK:
        excess = sum(widths) + 2 * (len(widths) - 1) - WIDTH
        if excess > 0 and name in header:
            column = header.index(name)
            widths[column] -= max(0, min(excess, widths[column] - floor))
    lines = []
    whole = _ambiguous([row[0] for row in rows], widths[0])
    for row in rows:
        if whole and len(row[0]) > widths[0]:
            lines.append(shorten(row[0], WIDTH))
            row[0] = ""
        cells = [shorten(cell, width) for cell, width in zip(row, widths, strict=True)]
        padded = [
            cell.ljust(width) if name in _LEFT_ALIGNED else cell.rjust(width)
            for cell, width, name in zip(cells, widths, header, strict=True)
        ]
        lines.append("  ".join(padded).rstrip())
    return [*lines, _LEGEND, *(f"algorithm: {name}" for name in algorithms if len(algorithms) == 1)]


def _ambiguous(names: Sequence[str], width: int) -> bool:
    """Whether shortened names can be mistaken for each other: long ones then take a line of their own."""
    return len({shorten(name, width) for name in names}) < len(names)


def _row(layer: LayerReport) -> list[str]:
    return [
        layer.name,
        _SHORT_OPS.get(layer.op, layer.op),
        "x".join(map(str, layer.shape)),
        str(layer.bits),
        layer.algorithm or "-",
        " ".join(f"{points}:{rows}" for points, rows in layer.points.items()),
        layer.lowering,
        f"{layer.bytes_before:,}",
        f"{layer.bytes_after:,}",
        "-" if layer.sqnr_db is None else _decibels(layer.sqnr_db, unit=""),
        "-" if layer.error_share is None else _percent(layer.error_share, 1),
    ]


def _percent(share: float, digits: int) -> str:
    return f"{100 * share:.{digits}f} %"


def _decibels(value: float, unit: str = " dB") -> str:
    return "exact" if value == math.inf else f"{value:.1f}{unit}"


def _totals(report: Report) -> Iterator[str]:
    stock, file = report.stock, report.file
    yield from _lines(
        "size",
        f"{file.bytes:,} bytes = {_percent(file.bytes / stock.bytes, 1)} of stock int8 ({stock.bytes:,}), "
        f"{_percent(file.bytes / report.float_bytes, 1)} of float ({report.float_bytes:,})",
    )
    yield from _lines(
        "size deflated",
        f"{file.deflated:,} bytes = {_percent(file.deflated / stock.deflated, 1)} of stock int8 ({stock.deflated:,})",
    )
    if report.extra_bits is not None:
        extra = _percent(report.extra_bits, 2)
        yield from _lines("extra bits", f"{extra} (bytes of further points / of first points in layers below 8 bits)")
    added = ", ".join(f"{name} {count:+d}" for name, count in report.ops_added().items())
    before, after = sum(stock.operators.values()), sum(file.operators.values())
    yield from _lines("operators", f"{after}; stock int8: {before}" + (f" ({added})" if added else ""))
    share = f" = {_percent(file.macs / stock.macs, 1)} of stock int8" if stock.macs else ""
    yield from _lines("multiply-adds", f"{_quantity(file.macs)}{share}")
    yield from _lines("XNNPACK", f"{_coverage(file.coverage, stock.coverage)} ({report.runtime})")


def _coverage(file: Coverage, stock: Coverage) -> str:
    def summary(coverage: Coverage) -> str:
        pieces = "1 partition" if coverage.partitions == 1 else f"{coverage.partitions} partitions"
        return f"{coverage.delegated_ops} of {coverage.total_ops} operators in {pieces}"

    ours, theirs = (Counter(name for _, name in coverage.left) for coverage in (file, stock))
    text = f"{summary(file)}; stock int8: {summary(stock)}"
    for names, what in ((ours - theirs, "left to slower kernels"), (ours & theirs, "left in stock int8 too")):
        if names:
            text += f"; {what}: " + ", ".join(f"{count} {name}" for name, count in sorted(names.items()))
    return text


def _accuracy(proxies: Proxies | None) -> Iterator[str]:
    if proxies is None:
        yield from _lines("accuracy", "not measured: there were no samples")
        return
    origin = "held back from fitting the weights"
    if not proxies.held_back:
        origin = "the calibration samples themselves: expect less on new data, or give more samples"
    count = "1 sample" if proxies.samples == 1 else f"{proxies.samples} samples"
    yield from _lines("measured on", f"{count}, {origin}")
    if proxies.predictions is not None:

        def agreement(closeness: Closeness) -> str:
            return f"{closeness.agreeing} of {proxies.predictions}"

        text = f"{agreement(proxies.file)} predictions; stock int8: {agreement(proxies.stock)}"
        yield from _lines("agrees with float", text)
    for number, name in enumerate(proxies.outputs[:_OUTPUTS]):
        ours, theirs = (_decibels(c.sqnr_db[number]) for c in (proxies.file, proxies.stock))
        which = f"{shorten(name, _NAME)}: " if len(proxies.outputs) > 1 else ""
        yield from _lines("" if number else "output SQNR", f"{which}{ours}; stock int8: {theirs}")
    if len(proxies.outputs) > _OUTPUTS:
        yield from _lines("", f"and {len(proxies.outputs) - _OUTPUTS} further outputs")


def _calibration(report: Report) -> list[str]:
    samples = f"{report.images} images x {report.views} views" if report.views > 1 else f"{report.images} samples"
    return _lines("calibration", samples)


def _lowering_costs(report: Report) -> list[str]:
    """Size and predicted speed in each lowering."""
    lines = []
    for number, cost in enumerate(report.lowering_costs):
        size = f"{'~' if number else ''}{_quantity(cost.bytes, 'B')}"
        lines.append(f"{cost.lowering:<11} {size}, {cost.latency_ratio:.2f} x stock's time")
    return _lines("predicted cost", "\n".join(lines))


def _grouped(label: str, entries: Sequence[tuple[str, str]]) -> list[str]:
    """(layer, reason) pairs, layers with the same reason together."""
    groups: dict[str, list[str]] = {}
    for name, reason in entries:
        groups.setdefault(reason, []).append(shorten(name, _NAME))
    labels = [label, *[""] * len(groups)]
    return [
        line
        for label, (reason, names) in zip(labels, groups.items(), strict=False)
        for line in _lines(label, f"{', '.join(names)}: {reason}")
    ]


def _suggestions(suggestions: Sequence[Suggestion]) -> Iterator[str]:
    if not suggestions:
        return
    yield "to spend more on the layers that cost most, add to the recipe:"
    for suggestion in suggestions:
        yield from rule_lines(suggestion)


def rule_lines(suggestion: Suggestion) -> Iterator[str]:
    """A rule as Python source to paste, with what it brings and costs as a comment."""
    settings = ", ".join(f"{key}={value!r}" for key, value in suggestion.rule.settings().items())
    growth = suggestion.added_bytes
    size = f"{'+' if growth > 0 else '-'}{_quantity(abs(growth), 'B')}" if growth else "same file size"
    comment = f"# {_percent(suggestion.error_share, 0)} of the error, {size}"
    line = f"    Rule(match={_literal(suggestion.rule.match)}, {settings}),  {comment}"
    if len(line) <= WIDTH:
        yield line
        return
    # Cut between escaped characters, so that every piece is a string of its own.
    characters = re.findall(r"\\.|.", suggestion.rule.match, re.DOTALL)
    pieces = [_literal("".join(characters[i : i + _PIECE])) for i in range(0, len(characters), _PIECE)]
    yield "    Rule("
    lines = [f"              {piece}" for piece in pieces]
    lines[0] = f"        match={pieces[0]}"
    yield from (*lines[:-1], f"{lines[-1]},")
    yield f"        {settings},"
    yield f"    ),  {comment}"


def _literal(pattern: str) -> str:
    """The pattern as Python source, raw where that is possible."""
    return f'r"{pattern}"' if '"' not in pattern and pattern.isprintable() else repr(pattern)


def _seconds(seconds: dict[str, float]) -> str:
    stages = ", ".join(f"{name} {value:.1f}" for name, value in seconds.items())
    return f"{sum(seconds.values()):.1f} s: {stages}" if seconds else ""


def _quantity(value: float, unit: str = "") -> str:
    """With a decimal prefix: 12.3 kB."""
    for limit, prefix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= limit:
            return f"{value / limit:.1f} {prefix}{unit}"
    return f"{value} {unit}".rstrip()
