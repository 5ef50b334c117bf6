"""A comparison as a plot: one row of bars a number of bits."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from io import BytesIO

from converters.errors import MissingDependencyError
from tfmpq.comparison.result import FLOAT, STOCK, MethodComparison, Row
from tfmpq.files import write_atomic

_COLOURS = {True: "tab:blue", False: "tab:gray"}  # of tfmpq's own rows, and of others
_Score = Callable[[Row], "float | None"]


def plot_compare(comparison: MethodComparison, path: str | os.PathLike[str]) -> None:
    """Draws the methods' scores, a panel a number of bits, with float and stock int8 as lines.

    The score is the caller's, or top-1 where there are labels, else agreement with the float file, else the signal to
    noise ratio of the worst output.

    Args:
        comparison: of which at least one row has a file.
        path: of the image, PNG.

    Raises:
        MissingDependencyError: matplotlib is not installed.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingDependencyError("the plot needs matplotlib: pip install 'tfmpq[plot]'") from error
    label, score = _score_of(comparison)
    lines = {name: next((score(r) for r in comparison.rows if r.method == name), None) for name in (FLOAT, STOCK)}
    rows = [row for row in comparison.rows if row.method not in (FLOAT, STOCK) and score(row) is not None]
    panels = list(dict.fromkeys(row.bits for row in rows)) or [8]
    figure = Figure(figsize=(5 * len(panels) + 1, 4.5), layout="constrained")
    FigureCanvasAgg(figure)
    for axes, bits in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        own = [row for row in rows if row.bits == bits][::-1]
        values = [score(row) or 0.0 for row in own]
        names = [row.method + (f" ({row.bytes / 1000:.0f} kB)" if row.bytes else "") for row in own]
        axes.barh(names, values, color=[_COLOURS[row.method.startswith("tfmpq")] for row in own])
        for name, style in ((FLOAT, ":"), (STOCK, "--")):
            if lines[name] is not None:
                axes.axvline(lines[name], color="black", linestyle=style, linewidth=1, label=name)
        axes.set(xlabel=label, title=f"{bits} bits")
        axes.grid(axis="x", alpha=0.3)
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=2, fontsize="small")
    image = BytesIO()
    figure.savefig(image, dpi=120, format="png")
    write_atomic(path, image.getvalue())


def _score_of(comparison: MethodComparison) -> tuple[str, _Score]:
    def percent(name: str) -> _Score:
        def score(row: Row) -> float | None:
            value = None if row.quality is None else getattr(row.quality, name)
            return None if value is None else 100 * value

        return score

    def noise(row: Row) -> float | None:
        values = [n for n in row.quality.sqnr_db if math.isfinite(n)] if row.quality else []
        return min(values, default=None)

    if any(row.score is not None for row in comparison.rows):
        return "score", lambda row: row.score
    for label, name in (("top-1, %", "top1"), ("agreement with float, %", "agreement")):
        if any(percent(name)(row) is not None for row in comparison.rows):
            return label, percent(name)
    return "SQNR of the worst output, dB", noise
