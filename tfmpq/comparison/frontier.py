"""Measured files in charts: what they cost, in size and latency, against what they are worth."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from tfmpq.html.scatter import Chart, Interval, Point
from tfmpq.report.wilson import wilson_interval
from tfmpq.text import quantity

_NORMAL = 1.96  # standard errors of a 95 % interval
_MOST_MEASURES = 2  # what files are worth, in charts; tables have all
_LATENCY = "latency: a ratio of medians, no interval is kept"


@dataclass(frozen=True)
class MeasuredFile:
    """One file; what was not measured is None.

    Attributes:
        label: what it is called.
        series: that it is one of.
        leads_to: name of what a click on it shows.
        bytes, stock_bytes: its size, and that of stock's file of its model.
        samples: that it was measured on.
        agreement: share of samples with the float file's class.
        top1, top1_error: share of labels that are right, and its standard error.
        kl: mean divergence from the float file's class probabilities, nats.
        sqnr_db: of the worst output.
        latency: relative to stock's.
        details: what else is said of it, line by line.
    """

    label: str
    series: str
    leads_to: str
    bytes: int
    stock_bytes: int
    samples: int | None = None
    agreement: float | None = None
    top1: float | None = None
    top1_error: float | None = None
    kl: float | None = None
    sqnr_db: float | None = None
    latency: float | None = None
    details: tuple[str, ...] = ()


def frontier_charts(files: Sequence[MeasuredFile]) -> list[Chart]:
    """Agreement and top-1, or what else there is, over size and over latency.

    Args:
        files: stock's among them; the float files are what the others are compared with, and have no place here.
    """
    costs = [_SIZE, *([_TIME] if any(file.latency is not None for file in files) else [])]
    known = [measure for measure in _MEASURES if any(measure.value(file) is not None for file in files)]
    return [_chart(files, measure, cost) for measure in known[:_MOST_MEASURES] for cost in costs]


Found = tuple[float, "Interval | None"]


@dataclass(frozen=True)
class _Measure:
    """What files are worth, or what they cost."""

    title: str
    value: Callable[[MeasuredFile], Found | None]
    note: str = ""
    most: float | None = None


def _chart(files: Sequence[MeasuredFile], measure: _Measure, cost: _Measure) -> Chart:
    names = (each.title.partition(",")[0] for each in (measure, cost))
    notes = tuple(filter(None, (measure.note, cost.note)))
    points = tuple(_points(files, measure, cost))
    return Chart(" over ".join(names), cost.title, measure.title, points, notes, measure.most)


def _points(files: Sequence[MeasuredFile], measure: _Measure, cost: _Measure) -> Iterator[Point]:
    for file in files:
        x, y = cost.value(file), measure.value(file)
        if x is not None and y is not None:
            size = f"{quantity(file.bytes, 'B')}, {100 * file.bytes / file.stock_bytes:.1f} % of stock's"
            yield Point(file.label, file.series, x[0], y[0], None, y[1], file.leads_to, (size, *file.details))


def _agreement(file: MeasuredFile) -> Found | None:
    if file.agreement is None:
        return None
    if not file.samples:
        return 100 * file.agreement, None
    low, high = wilson_interval(round(file.agreement * file.samples), file.samples)
    return 100 * file.agreement, (100 * low, 100 * high)


def _top1(file: MeasuredFile) -> Found | None:
    if file.top1 is None:
        return None
    if file.top1_error is None:
        return 100 * file.top1, None
    reach = _NORMAL * file.top1_error
    return 100 * file.top1, (100 * max(file.top1 - reach, 0.0), 100 * min(file.top1 + reach, 1.0))


def _plain(value: float | None) -> Found | None:
    return None if value is None or not math.isfinite(value) else (value, None)


_SIZE = _Measure("size, % of stock's", lambda file: (100 * file.bytes / file.stock_bytes, None))
_TIME = _Measure("latency, stock's being 1", lambda file: _plain(file.latency), _LATENCY)
_ONE_FIGURE = "no interval: it is one figure for all samples"
_MEASURES = (
    _Measure("agreement with float, %", _agreement, "whiskers: 95 % intervals (Wilson) of the samples", 100.0),
    _Measure(
        "top-1, %", _top1, "whiskers: 95 % intervals of single files; differences on the same samples are surer", 100.0
    ),
    _Measure("KL to float, nats", lambda file: _plain(file.kl), _ONE_FIGURE),
    _Measure("SQNR of the worst output, dB", lambda file: _plain(file.sqnr_db), _ONE_FIGURE),
)
