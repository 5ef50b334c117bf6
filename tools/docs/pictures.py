"""Pictures of the documentation, drawn anew into docs/pictures.

    python -m tools.docs.pictures [--output docs/pictures]

The proof is drawn from the figures of docs/compare, the others are drawings.
"""

from __future__ import annotations

import argparse
import csv
import io
from collections.abc import Callable, Sequence
from pathlib import Path

import matplotlib
import matplotlib.figure
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from tfmpq.files import write_atomic

ROOT = Path(__file__).parents[2]
# Models of docs/compare: title, the column that counts, and the ends of its axis; worse methods stand at the lower one.
_NETWORKS = {
    "mobilenet_v1_075_224": ("MobileNetV1-0.75", "agrees %", (20, 100)),
    "mobilenet_v2_100_224_deq8": ("MobileNetV2-1.0", "agrees %", (20, 100)),
    "cifar10_resnet20": ("ResNet-20", "agrees %", (80, 100)),
    "yolo_fastest_11_coco320": ("YOLO-Fastest-1.1", "score", (20, 60)),
}
_AXES = {"agrees %": "same class as float, %", "score": "mAP50"}
_OTHERS = {
    "nearest": "rounding", "nearest_bias": "bias corrected", "ocs": "OCS", "aciq": "ACIQ", "dfq": "DFQ", "lapq": "LAPQ",
    "adaround": "AdaRound", "multipoint": "the paper's",
}  # fmt: skip
_OURS = ("tfmpq_0", "tfmpq", "tfmpq_default")
_BLUE, _GREY, _LIGHT, _ORANGE = "#1565c0", "#777777", "#bbdefb", "#ffe0b2"


def proof() -> Figure:
    """Size against agreement with the float network, 4-bit files of all methods on four networks."""
    figure = Figure(figsize=(11, 3.1), layout="constrained")
    axes = figure.subplots(1, len(_NETWORKS))
    for axis, (name, (title, column, ends)) in zip(axes, _NETWORKS.items(), strict=True):
        with (ROOT / "docs" / "compare" / f"{name}.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        _network(axis, rows, column, ends)
        axis.set_title(title, fontsize=10)
        axis.set_ylabel(_AXES[column], fontsize=8)
    axes[0].legend(fontsize=7, loc="center right")
    figure.supxlabel("bytes of the file, stock int8 = 1 (4-bit weights)", fontsize=9)
    return figure


def _network(axis: Axes, rows: Sequence[dict[str, str]], column: str, ends: tuple[float, float]) -> None:
    def places(names: Sequence[str], bits: str = "4") -> tuple[list[float], list[float]]:
        found = [row for row in rows if row["method"] in names and row["bits"] == bits]
        found.sort(key=lambda row: float(row["of stock"]))
        return [float(row["of stock"]) for row in found], [max(float(row[column]), ends[0]) for row in found]

    axis.plot(*places(list(_OTHERS)), "x", color=_GREY, label="other methods")
    axis.plot(*places(_OURS), "o-", color=_BLUE, label="tfmpq")
    axis.plot(*places(["stock int8"], "8"), "ks", label="stock int8")
    axis.set_xlim(0.42, 1.08)
    axis.set_ylim(ends[0] - 0.03 * (ends[1] - ends[0]), ends[1])
    axis.set_yticks(axis.get_yticks(), [f"<= {y:g}" if y == ends[0] else f"{y:g}" for y in axis.get_yticks()])
    axis.set_ylim(ends[0] - 0.03 * (ends[1] - ends[0]), ends[1])
    axis.tick_params(labelsize=8)
    axis.grid(alpha=0.3)


def points() -> Figure:
    """A row of twelve weights: as it is, as one 4-bit point, as two."""
    weights = np.random.default_rng(4).normal(size=12)
    step = np.abs(weights).max() / 7.5
    first = np.clip(np.round(weights / step), -8, 7)
    second = np.clip(np.round((weights - first * step) / (step / 16)), -8, 7)
    figure = Figure(figsize=(9, 3), layout="constrained")
    axes = figure.subplots(1, 2, sharey=True)
    sums = {
        "one point: a1 x integers of -8..7": first * step,
        "two points: + a2 x integers of -8..7, a2 = a1 / 16": first * step + second * step / 16,
    }
    for axis, (title, values) in zip(axes, sums.items(), strict=True):
        axis.bar(np.arange(12), weights, width=0.9, color=_LIGHT, label="the weights")
        axis.plot(np.arange(12), values, "_", color=_BLUE, markersize=17, markeredgewidth=2.5, label="what is computed")
        error = float(np.square(values - weights).sum() / np.square(weights).sum())
        axis.set_title(title, fontsize=9)
        axis.set_xlabel(f"{100 * error:.2g} % of the row's energy is error", fontsize=9)
        axis.set_xticks([])
        axis.set_yticks([])
        axis.axhline(0, color=_GREY, linewidth=0.5)
    axes[0].legend(fontsize=8)
    return figure


def merge() -> Figure:
    """Two 4-bit integers, and the 8-bit integer that they are."""
    figure = Figure(figsize=(9, 1.7), layout="constrained")
    axis = _blank(figure, 18, 3.2)
    for start, bits, color, text in ((0.2, "0101", _BLUE, "5"), (5, "0011", "#ef6c00", "3")):
        _cells(axis, start, bits, color)
        axis.text(start + 1.6, 0.35, text, ha="center", fontsize=12)
    axis.text(4.2, 1.6, "x 16  +", ha="center", va="center", fontsize=11)
    axis.text(8.8, 1.6, "=", ha="center", va="center", fontsize=14)
    _cells(axis, 9.6, "0101", _BLUE)
    _cells(axis, 12.8, "0011", "#ef6c00")
    axis.text(12.8, 0.35, "5 x 16 + 3 = 83", ha="center", fontsize=12)
    axis.text(1.8, 2.75, "first point", ha="center", fontsize=9)
    axis.text(6.6, 2.75, "second point", ha="center", fontsize=9)
    axis.text(12.8, 2.75, "a row of int8, one scale", ha="center", fontsize=9)
    return figure


def forms() -> Figure:
    """A layer's operators in three forms."""
    figure = Figure(figsize=(9, 2.6), layout="constrained")
    axis = _blank(figure, 18, 5)
    drawn: Sequence[tuple[float, str, Sequence[tuple[str, str]], str]] = (
        (
            0.3,
            "split",
            (("INT4: rows of one point", _LIGHT), ("int8: rows of two, merged", _ORANGE)),
            "CONCATENATION",
        ),
        (6.4, "fused", (("int8: all rows, merged", _ORANGE),), "stock's operator"),
        (12.5, "parallel", (("first points", _LIGHT), ("second points", _LIGHT)), "ADD, CONCATENATION"),
    )
    for left, name, operators, joined in drawn:
        axis.text(left + 2.5, 4.6, name, ha="center", va="center", fontsize=11, weight="bold")
        for i, (text, color) in enumerate(operators):
            axis.add_patch(Rectangle((left, 2.9 - 1.2 * i), 5, 1, facecolor=color, edgecolor=_GREY))
            axis.text(left + 2.5, 3.4 - 1.2 * i, text, ha="center", va="center", fontsize=9)
        axis.text(left + 2.5, 0.9, joined, ha="center", va="center", fontsize=9, color=_GREY)
    return figure


def _blank(figure: Figure, width: float, height: float) -> Axes:
    axis = figure.subplots()
    axis.set_xlim(0, width)
    axis.set_ylim(0, height)
    axis.axis("off")
    return axis


def _cells(axis: Axes, left: float, bits: str, color: str) -> None:
    for i, bit in enumerate(bits):
        axis.add_patch(Rectangle((left + 0.8 * i, 1.1), 0.8, 1, facecolor="white", edgecolor=color, linewidth=2))
        axis.text(left + 0.8 * i + 0.4, 1.6, bit, ha="center", va="center", fontsize=12)


PICTURES: dict[str, Callable[[], Figure]] = {"proof": proof, "points": points, "merge": merge, "forms": forms}


def svg(figure: Figure) -> bytes:
    """The picture on white, the same bytes for the same version of Matplotlib."""
    with matplotlib.rc_context({"svg.hashsalt": "tfmpq"}):
        file = io.BytesIO()
        figure.savefig(file, format="svg", facecolor="white", metadata={"Date": None, "Creator": None})
    return file.getvalue()


def main() -> None:
    parser = argparse.ArgumentParser(description="Draws the pictures of the documentation.")
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "pictures")
    folder = parser.parse_args().output
    for name, draw in PICTURES.items():
        write_atomic(folder / f"{name}.svg", svg(draw()))


if __name__ == "__main__":
    main()
