"""Charts of the rows in docs/training: top-1 of every method at every width, one SVG a network.

    python -m tools.research.training.chart --output docs/training

Needs matplotlib (`pip install 'tfmpq[plot]'`).
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from converters.errors import MissingDependencyError
from tools.research.training.methods import FLOAT, METHODS, WIDTHS
from tools.research.training.tables import chosen

_FAR_BELOW = 25.0  # points below float from which a row is drawn at the lower edge: it would flatten all others
_MARKERS = "os^vD<>pP*Xh"
_SPREAD = 0.8  # of a width's place, that its methods share


def save_chart(rows: Sequence[dict[str, Any]], path: Path) -> None:
    """Draws the rows of one network: means of seeds, with their standard deviation.

    Raises:
        MissingDependencyError: matplotlib is not installed.
    """
    try:
        import matplotlib
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingDependencyError("charts need matplotlib: pip install 'tfmpq[plot]'") from error
    figure = Figure(figsize=(10, 6), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    drawn, widths = chosen(rows), [str(wide) for wide in WIDTHS]
    real = next(row["file"] for row in rows if row["method"] == FLOAT)
    floor = real - _FAR_BELOW
    for index, method in enumerate(METHODS):
        members = [row for row in drawn if row["method"] == method]
        places = [widths.index(row["widths"]) + _SPREAD * ((index + 0.5) / len(METHODS) - 0.5) for row in members]
        means = [statistics.mean(row["trained"] or [row["file"]]) for row in members]
        spreads = [statistics.stdev(row["trained"]) if len(row["trained"]) > 1 else 0.0 for row in members]
        colour, marker = f"C{index % 10}", _MARKERS[index % len(_MARKERS)]
        heights = [max(mean, floor) for mean in means]
        if members:
            axes.errorbar(places, heights, yerr=spreads, fmt=marker, color=colour, capsize=2, label=method)
        for place, mean in zip(places, means, strict=True):
            if mean < floor:
                axes.annotate(f"{mean:.0f}", (place, floor), (0, 7), textcoords="offset points", ha="center", size=8)
    axes.axhline(real, color="gray", linestyle=":", label="float")
    for edge in range(1, len(widths)):
        axes.axvline(edge - 0.5, color="gray", alpha=0.2)
    axes.set(xticks=range(len(widths)), xticklabels=widths, ylabel="top-1, %", title=path.stem)
    axes.grid(axis="y", alpha=0.3)
    axes.legend(fontsize="small", loc="lower left")
    with matplotlib.rc_context({"svg.hashsalt": path.stem}):  # the same file again
        figure.savefig(path, metadata={"Date": None, "Creator": None})


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the script; returns its exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True, help="directory of the rows")
    folder = parser.parse_args(arguments).output
    paths = sorted(folder.glob("*.jsonl"))
    if not paths:
        print(f"'{folder}' has no rows (.jsonl); measure some: python -m tools.research.training", file=sys.stderr)
        return 1
    try:
        for path in paths:
            save_chart([json.loads(line) for line in path.read_text().splitlines()], path.with_suffix(".svg"))
    except MissingDependencyError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
