"""Float, stock and the emitted file side by side, as a page shows them: size against closeness to float."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from tfmpq.html.scatter import Chart, Point
from tfmpq.plan.lowering_cost import LoweringCost
from tfmpq.report.layer_report import decibels, percent
from tfmpq.report.like_stock import BudgetFigures, LikeStockFigures
from tfmpq.report.proxies import Closeness, Proxies
from tfmpq.report.wilson import wilson_interval
from tfmpq.text import plural, quantity

_WILSON = "whiskers: 95 % intervals (Wilson), as so few samples were run"
_SIZE = "size, kB"
_NO_INTERVAL = "no interval: it is one figure for all samples"

_SERIES = ("tfmpq", "", "measured budget", "predicted budget")  # in the order of their colours; stock is second

Sizes = dict[str, int]


def key_figures(sizes: Sizes, proxies: Proxies | None, costs: Sequence[LoweringCost]) -> list[tuple[str, str, str]]:
    """What everyone asks first, for :func:`tfmpq.html.blocks.cards`.

    Args:
        sizes: bytes of the file, of stock's and of the float one, in this order, by what they are called.
        proxies: closeness to the float model.
        costs: see :class:`tfmpq.report.report.Report`.
    """
    (_, size), (stock, stock_size), (_, float_size) = sizes.items()
    figures = [
        (
            "size",
            quantity(size, "B"),
            f"{percent(size / stock_size, 1)} of {stock}, {percent(size / float_size, 1)} of float",
        )
    ]
    for title, value, low, high, words in _agreement(proxies):
        figures.append((title, value, f"{100 * low:.0f}-{100 * high:.0f} % (95 % interval); {words}"))
    if proxies is not None and proxies.file.cosine is not None and proxies.stock.cosine is not None:
        figures.append(("cosine to float", f"{proxies.file.cosine:.4f}", f"{stock}: {proxies.stock.cosine:.4f}"))
    if proxies is not None and proxies.file.sqnr_db:
        ours, theirs = (decibels(min(closeness.sqnr_db)) for closeness in (proxies.file, proxies.stock))
        figures.append(("output SQNR", ours, f"{stock}: {theirs}"))
    if proxies is None:
        figures.append(("accuracy", "not measured", "there were no samples"))
    if costs:
        figures.append(("predicted time", f"{costs[0].latency_ratio:.2f} x stock's", "predicted, not measured"))
    return figures


def _agreement(proxies: Proxies | None) -> Iterator[tuple[str, str, float, float, str]]:
    if proxies is None or not proxies.predictions or proxies.file.agreeing is None:
        return
    low, high = wilson_interval(proxies.file.agreeing, proxies.predictions)
    origin = "held back" if proxies.held_back else "those of the fit"
    words = f"{plural(proxies.samples, 'sample')}, {origin}"
    yield "agrees with float", f"{proxies.file.agreeing} of {proxies.predictions}", low, high, words


def file_charts(
    sizes: Sizes, proxies: Proxies | None, costs: Sequence[LoweringCost], like_stock: LikeStockFigures | None
) -> list[Chart]:
    """Size against closeness to the float model, predicted time against it, and the budgets that were tried.

    Args:
        sizes, proxies, costs: see :func:`key_figures`.
        like_stock: how the smallest file like stock was found.
    """
    found = []
    if proxies is not None:
        (file, size), (stock, stock_size), (_, float_size) = sizes.items()
        title, most, note = _measure(proxies)
        left_out = f"the float file ({quantity(float_size, 'B')}) is not drawn: what it is compared with is itself"
        names = ((file, size, proxies.file), (stock, stock_size, proxies.stock))
        points = tuple(p for name, size, closeness in names for p in _closeness(name, size / 1000, closeness, proxies))
        found.append(Chart("size and closeness to float", _SIZE, title, points, (note, left_out), most))
        if costs:
            ratios = ((file, costs[0].latency_ratio, proxies.file), (stock, 1.0, proxies.stock))
            points = tuple(p for name, ratio, c in ratios for p in _closeness(name, ratio, c, proxies))
            predicted = "times are predicted by a table of costs, not measured (tfmpq benchmark measures them)"
            found.append(
                Chart("predicted time and closeness", "time, stock's being 1", title, points, (note, predicted), most)
            )
    if like_stock is not None:
        found.append(_budgets(like_stock, list(sizes.items())[1]))
    return found


def _measure(proxies: Proxies) -> tuple[str, float | None, str]:
    """What closeness is in, the most that there can be, and what intervals are."""
    if proxies.predictions:
        return "agrees with float, %", 100.0, _WILSON
    if proxies.file.cosine is not None:
        return "mean cosine to float", 1.0, _NO_INTERVAL
    return "SQNR of the worst output, dB", None, _NO_INTERVAL


def _closeness(name: str, x: float, closeness: Closeness, proxies: Proxies) -> Iterator[Point]:
    """A file's point, if its figure is a number: what is exact has no place among decibels."""
    leads_to = "layers" if closeness is proxies.file else "measured"
    details = [f"SQNR of the worst output: {decibels(min(closeness.sqnr_db))}"] if closeness.sqnr_db else []
    if proxies.predictions and closeness.agreeing is not None:
        low, high = wilson_interval(closeness.agreeing, proxies.predictions)
        text = f"agrees on {closeness.agreeing} of {proxies.predictions} ({100 * low:.0f}-{100 * high:.0f} %)"
        y = 100 * closeness.agreeing / proxies.predictions
        yield Point(name, name, x, y, None, (100 * low, 100 * high), leads_to, (text, *details))
    elif closeness.cosine is not None:
        yield Point(name, name, x, closeness.cosine, None, None, leads_to, tuple(details))
    elif closeness.sqnr_db and math.isfinite(min(closeness.sqnr_db)):
        yield Point(name, name, x, min(closeness.sqnr_db), None, None, leads_to, tuple(details))


def _budgets(figures: LikeStockFigures, stock: tuple[str, int]) -> Chart:
    name, size = stock
    what = "predictions that change, %" if figures.measure == "predictions" else "error in the output's variance, %"
    points = [Point(name, name, size / 1000, figures.stock, leads_to="measured")]
    points += (_budget(budget, figures) for budget in figures.budgets)
    points.sort(key=lambda point: _SERIES.index(point.series) if point.series in _SERIES else 1)
    notes = (
        f"{plural(figures.samples, 'sample')} {'of the fit' if figures.fitted else 'that points were chosen by'}; "
        "whiskers: a standard error of the difference to stock",
        "labels: bytes of further points, of those of first points; hollow: predicted, the file was not run",
    )
    finite = tuple(point for point in points if math.isfinite(point.y))
    return Chart("budgets that were tried", _SIZE, what, finite, notes)


def _budget(budget: BudgetFigures, figures: LikeStockFigures) -> Point:
    known, taken = budget.measured is not None, budget.share == figures.chosen
    away = budget.expected if budget.measured is None else budget.measured
    details = [f"{quantity(budget.bytes, 'B')}, {away:.2f} % {'measured' if known else 'predicted'}"]
    details.append(f"predicted time {budget.latency_ratio:.2f} x stock's")
    error = figures.error if taken and known and math.isfinite(figures.error) else None
    return Point(
        label=f"+{100 * budget.share:.3g} %",
        series=_SERIES[0] if taken else _SERIES[2] if known else _SERIES[3],
        x=budget.bytes / 1000,
        y=away,
        y_interval=None if error is None else (away - error, away + error),
        leads_to="layers" if taken else "measured",
        details=tuple(details),
        predicted=not known,
    )
