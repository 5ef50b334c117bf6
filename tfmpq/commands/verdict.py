"""A conversion in one line: what came out, and what it is worth."""

from __future__ import annotations

from tfmpq.report.layer_report import decibels
from tfmpq.report.report import Report
from tfmpq.report.wilson import wilson_interval


def verdict(path: str, report: Report) -> str:
    """``wrote FILE: 56 % of stock int8, agreement 24 of 25 (80-99 %), predicted 1.02 x stock's time``."""
    parts = [f"{100 * report.file.bytes / report.stock.bytes:.0f} % of {report.stock_name}"]
    proxies = report.proxies
    if proxies is None:
        parts.append("accuracy not measured")
    elif proxies.predictions and proxies.file.agreeing is not None:
        low, high = wilson_interval(proxies.file.agreeing, proxies.predictions)
        doubtful = " on doubtful data" if any(warning.about == "data" for warning in report.warnings) else ""
        share = f"{proxies.file.agreeing} of {proxies.predictions} ({100 * low:.0f}-{100 * high:.0f} %)"
        parts.append(f"agreement {share}{doubtful}")
    elif proxies.file.cosine is not None:
        parts.append(f"cosine {proxies.file.cosine:.4f}")
    elif proxies.file.sqnr_db:
        parts.append(f"output SQNR {decibels(min(proxies.file.sqnr_db))}")
    if report.lowering_costs:
        parts.append(f"predicted {report.lowering_costs[0].predicted}")
    return f"wrote {path}: {', '.join(parts)}"
