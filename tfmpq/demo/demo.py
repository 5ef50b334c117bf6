"""The demo: a small network in several files, and what each of them costs and gets right.

The network and the data are made by ``python -m tools.research.train_demo_model``.
"""

from __future__ import annotations

import os
import sys
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import tfmpq
from converters.frontend.load import load_model
from converters.frontend.tf_converter import int8_twin
from tfmpq.analysis.evaluation import evaluate
from tfmpq.benchmark.result import BenchmarkResult
from tfmpq.benchmark.run import benchmark
from tfmpq.data.evaluation_set import load_labelled
from tfmpq.data.representative import check_samples
from tfmpq.files import read_npz, write_atomic
from tfmpq.text import Column, Table, to_terminal

MODEL = Path(__file__).with_name("digits_net.keras")
CALIBRATION = Path(__file__).with_name("digits_calibration.npz")
TEST = Path(__file__).with_name("digits_test.npz")

STOCK = "stock int8"
PLAIN = "plain, all layers W4"
SAME_BITS = "tfmpq, all layers W4"
NOTE = """\
plain: nearest rounding, one scale a channel. The last three rows have tfmpq's default bits: 8-bit weights in the first,
the depthwise and the last layers, 4-bit weights elsewhere. All tfmpq rows: budget=ExtraBits(0.10), second points for at
most 10 % extra bits, so that the forms compare (the default, LikeStock, would choose a budget for each)."""

BUDGET = tfmpq.ExtraBits(0.10)  # of all rows of the table, so that they compare

Producer = Callable[[], bytes]


@dataclass(frozen=True)
class DemoRow:
    """One file of the demo.

    Attributes:
        label: what it is.
        top1: accuracy on the test images, 0..1.
        bytes: size of the file.
        deflated: its size after zlib level 9, as in an APK or a download.
        latency: time of one inference relative to the stock int8 file, one thread; None: it could not be timed.
    """

    label: str
    top1: float
    bytes: int
    deflated: int
    latency: float | None


PLOT = "demo.png"


def run_demo(output_dir: str | os.PathLike[str], *, progress: bool = True) -> list[DemoRow]:
    """Converts the bundled digit classifier in several ways, prints a table, and saves the files and a plot.

    Args:
        output_dir: folder for the .tflite files and ``demo.png``; made if it does not exist.
        progress: say on stderr what is being done.

    Returns:
        One row a file, in the table's order.
    """
    folder = Path(output_dir)
    folder.mkdir(parents=True, exist_ok=True)
    files: dict[str, Path] = {}
    for label, produce in variants(progress=progress):
        if progress:
            print(f"converting: {label}", file=sys.stderr)
        files[label] = folder / f"{label.replace(',', '').replace(' ', '_')}.tflite"
        write_atomic(files[label], produce())
    if progress:
        print("evaluating and timing", file=sys.stderr)
    rows, times = measure(files)
    print("\n".join((format_table(rows), NOTE, *trust(times))))
    plot = folder / PLOT
    if save_plot(rows, plot):
        print(f"plot: {plot}")
    else:
        print("no plot: matplotlib is not installed (pip install 'tfmpq[plot]')")
    return rows


def variants(*, progress: bool = False) -> list[tuple[str, Producer]]:
    """The demo's files: label and a function that makes the content of the .tflite file."""
    floats = load_model(MODEL)
    samples = check_samples(calibration, floats.inputs)
    all_at_4_bits = tfmpq.Recipe([tfmpq.Rule(match=".*", bits=4)])

    def convert(**options: Any) -> Producer:
        every: dict[str, Any] = {"budget": BUDGET, "progress": progress, **options}
        return lambda: tfmpq.convert(MODEL, calibration, **every).tflite_model

    return [
        ("float", lambda: floats.flatbuffer),
        (STOCK, lambda: int8_twin(floats, samples)),
        (PLAIN, convert(lowering="fused", recipe=all_at_4_bits, algorithm="nearest", max_points=1)),
        (SAME_BITS, convert(lowering="fused", recipe=all_at_4_bits)),
        ("tfmpq auto", convert()),
        ("tfmpq parallel", convert(lowering="parallel")),
        ("tfmpq fused", convert(lowering="fused")),
    ]


def calibration() -> Iterator[list[np.ndarray]]:
    """The bundled calibration images one by one, as TFLiteConverter takes them: [float32 (1, 32, 32, 1)], 0..255."""
    for image in read_npz(CALIBRATION)["x"]:
        yield [image[None].astype(np.float32)]


def measure(files: Mapping[str, Path]) -> tuple[list[DemoRow], BenchmarkResult]:
    """Accuracy, size and latency of every file, the latter relative to the one labelled :data:`STOCK`."""
    test = load_labelled(TEST)
    labels = sorted(files, key=lambda label: label != STOCK)  # the benchmark's ratios are to its first file
    times = benchmark([files[label] for label in labels], progress=False)
    ratios = {label: run.ratio for label, run in zip(labels, times.runs, strict=True)}
    rows = []
    for label, path in files.items():
        content = path.read_bytes()
        top1 = evaluate(content, test).top1
        assert top1 is not None  # the test data have labels
        deflated = len(zlib.compress(content, 9))
        rows.append(DemoRow(label, top1, len(content), deflated, ratios[label]))
    return rows, times


def trust(times: BenchmarkResult) -> list[str]:
    """How far the latency column can be trusted, and what could not be timed."""
    noise = times.noise
    lines = [f"latency: time relative to {STOCK}, of tfmpq benchmark, one thread."]
    if noise.percent is not None:
        least = max(noise.percent, 0.1)
        lines.append(f"Differences below {least:.1f} % mean nothing: so much {STOCK} seems to differ from itself.")
    return [*lines, *times.failures(), *(f"warning: {warning}" for warning in noise.warnings)]


def format_table(rows: list[DemoRow]) -> str:
    """The rows as aligned text."""
    titles = ("top-1", "bytes", "deflated", "latency")
    cells = ((r.label, f"{r.top1:.1%}", f"{r.bytes:,}", f"{r.deflated:,}", _times(r.latency)) for r in rows)
    return to_terminal([Table((Column(""), *(Column(title, numeric=True) for title in titles)), tuple(cells))])


def _times(ratio: float | None) -> str:
    return "-" if ratio is None else f"{ratio:.2f}x"


def save_plot(rows: list[DemoRow], path: Path) -> bool:
    """Saves the table as a figure; False, and no file, where matplotlib is not installed."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        return False
    figure = Figure(figsize=(9, 3.2), layout="constrained")
    FigureCanvasAgg(figure)
    accuracy, size = figure.subplots(1, 2, sharey=True)
    labels = [row.label for row in rows]
    bars = accuracy.barh(labels, [100 * row.top1 for row in rows], color="tab:blue")
    accuracy.bar_label(bars, fmt="%.1f", padding=3)
    accuracy.set(xlabel="top-1, %", xlim=(0, 112))
    accuracy.invert_yaxis()
    size.barh(labels, [row.bytes / 1000 for row in rows], color="lightgray", label="file")
    bars = size.barh(labels, [row.deflated / 1000 for row in rows], height=0.5, color="tab:orange", label="deflated")
    size.bar_label(bars, fmt="%.0f", padding=3)
    size.set(xlabel="size, kB")
    size.legend()
    figure.savefig(path, dpi=150)
    return True
