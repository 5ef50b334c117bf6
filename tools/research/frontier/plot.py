"""Plots of a sweep: one point a file, one colour a tool, and a line through what no file of the tool beats."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path

from converters.errors import MissingDependencyError
from tools.research.frontier.rows import FLOAT_FILE, LITERT, LITERT_BEFORE, STOCK, TFMPQ, Row
from tools.research.frontier.tables import MEASURED, average_seeds, is_stock

X_AXES = {"size": "file, kB", "deflated": "file deflated, kB", "latency": "latency relative to stock int8"}
Y_AXES = {"score": "score, %", "agreement": "agreement with float, %"}
_COLOURS = {TFMPQ: "tab:blue", STOCK: "black", LITERT: "tab:orange", LITERT_BEFORE: "tab:orange"}
_OTHER_COLOURS = ("tab:green", "tab:red", "tab:purple", "tab:brown")
_MARKERS = "osD^vP*X"
_FAR_BELOW = 25.0  # points below stock from which a file is drawn at the lower edge

Point = tuple[float, float]


def pareto(points: Sequence[Point]) -> list[Point]:
    """Those points that no other has less x and at least as much y than; by x."""
    best: list[Point] = []
    for x, y in sorted(points, key=lambda point: (point[0], -point[1])):
        if not best or y > best[-1][1]:
            best.append((x, y))
    return best


def save_plot(rows: Sequence[Row], x: str, y: str, path: Path) -> bool:
    """Draws the rows of one model.

    Args:
        rows: of one model; means over seeds are drawn.
        x: of :data:`X_AXES`.
        y: of :data:`Y_AXES`.
        path: of the image.

    Returns:
        False, and no file, if fewer than two rows have both values.

    Raises:
        MissingDependencyError: matplotlib is not installed.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingDependencyError("plots need matplotlib: pip install 'tfmpq[plot]', or --plots none") from error
    drawn = [g.row for g in average_seeds(rows) if _x(g.row, x) is not None and getattr(g.row, y) is not None]
    drawn = [row for row in drawn if row.configuration != FLOAT_FILE]  # far to the right; its score is a line
    if len(drawn) < 2:
        return False
    figure = Figure(figsize=(9, 6), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    others = itertools.cycle(_OTHER_COLOURS)
    colours = {t: _COLOURS.get(t) or next(others) for t in dict.fromkeys(row.tool for row in drawn)}
    floor, below = _floor(drawn, y), 0
    for tool, colour in colours.items():
        series: dict[str, list[Row]] = {}
        for row in drawn:
            if row.tool == tool:
                series.setdefault(_label(row), []).append(row)
        for (label, members), marker in zip(series.items(), itertools.cycle(_MARKERS), strict=False):
            points = [(_value(_x(row, x)), _value(getattr(row, y))) for row in members]
            axes.errorbar(
                [p[0] for p in points],
                [max(p[1], floor) for p in points],
                yerr=[(getattr(row, f"{y}_error") or 0.0) * (getattr(row, y) >= floor) for row in members],
                fmt=marker,
                color=colour,
                markerfacecolor=colour if members[0].source == MEASURED else "none",
                elinewidth=0.6,
                capsize=2,
                label=label,
            )
            for px, py in points:
                if py < floor:
                    offset = (6, 8 + 10 * below)
                    axes.annotate(f"↓ {py:.1f}", (px, floor), xytext=offset, textcoords="offset points", color=colour)
                    below += 1
        front = pareto([(_value(_x(r, x)), _value(getattr(r, y))) for r in drawn if r.tool == tool])
        front = [point for point in front if point[1] >= floor]
        axes.plot([p[0] for p in front], [p[1] for p in front], color=colour, linewidth=1, alpha=0.6)
    real = next((row for row in rows if row.configuration == FLOAT_FILE and getattr(row, y) is not None), None)
    if real is not None:
        axes.axhline(getattr(real, y), color="gray", linestyle=":", linewidth=1, label="float32")
    axes.set(xlabel=X_AXES[x], ylabel=Y_AXES[y], title=rows[0].model)
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small")
    figure.savefig(path, dpi=120)
    return True


def _x(row: Row, axis: str) -> float | None:
    if axis == "latency":
        return row.latency
    size = row.bytes if axis == "size" else row.deflated
    return None if size is None else size / 1000


def _value(value: float | None) -> float:
    assert value is not None
    return value


def _floor(rows: Sequence[Row], y: str) -> float:
    """Lower edge of the plot: far worse files would flatten all others."""
    values = [_value(getattr(row, y)) for row in rows]
    stock = next((_value(getattr(row, y)) for row in rows if is_stock(row)), max(values))
    return min(values) if min(values) > stock - _FAR_BELOW else stock - _FAR_BELOW


def _label(row: Row) -> str:
    name = row.configuration if row.tool != TFMPQ else f"{row.lowering} {row.bits} bits"
    views = f", {row.views} views" if row.views > 1 else ""
    return f"{row.tool} {name}{views}" + ("" if row.source == MEASURED else " (other measurement)")
