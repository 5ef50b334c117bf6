"""A comparison of methods as a page: size and latency against what the files are worth, and the table."""

from __future__ import annotations

import math

from tfmpq.comparison.frontier import MeasuredFile, frontier_charts
from tfmpq.comparison.quality import Quality
from tfmpq.comparison.result import FLOAT, STOCK, MethodComparison, Row
from tfmpq.html.blocks import from_blocks
from tfmpq.html.page import Page, Section
from tfmpq.html.scatter import charts
from tfmpq.html.tags import joined, tag
from tfmpq.text import plural

_LEFT_OUT = "The float file is not drawn: it is what the others are compared with."


def compare_page(result: MethodComparison) -> Page:
    """The page of a comparison.

    Args:
        result: of one model.
    """
    stock = next((row.bytes for row in result.rows if row.method == STOCK and row.bytes), None)
    drawn = frontier_charts([] if stock is None else [
        _measured(row, row.bytes, stock, result.samples)
        for row in result.rows
        if row.method != FLOAT and row.quality is not None and row.bytes
    ])  # fmt: skip
    sections = (
        Section("frontier", "Size, latency and what files are worth", joined([charts(drawn), tag("p", _LEFT_OUT)])),
        Section("rows", "Methods", from_blocks(result.blocks())),
    )
    lead = f"{result.model}: {plural(len(result.rows), 'row')}, {plural(result.samples, 'sample')}"
    return Page("methods compared", lead, sections)


def _measured(row: Row, size: int, stock: int, samples: int) -> MeasuredFile:
    found = row.quality or Quality(None, None, None, None, ())
    noise = min((n for n in found.sqnr_db if math.isfinite(n)), default=None)
    details = [] if found.agreement is None else [f"agrees on {100 * found.agreement:.1f} %"]
    details += [] if found.top1 is None else [f"top-1 {100 * found.top1:.2f} %"]
    details += [] if row.latency is None else [f"latency {row.latency:.2f} of stock's"]
    return MeasuredFile(
        label=row.method if row.method == STOCK else f"{row.method}, {row.bits} bits",
        series=row.method if row.method == STOCK else f"{row.bits} bits",
        leads_to="rows",
        bytes=size,
        stock_bytes=stock,
        samples=samples,
        agreement=found.agreement,
        top1=found.top1,
        top1_error=found.top1_error,
        kl=found.kl,
        sqnr_db=noise,
        latency=row.latency,
        details=tuple(details),
    )
