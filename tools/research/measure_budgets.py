"""What the default budget picks beside fixed shares of bytes, and what names and bias scales take of its file.

    python -m tools.research.measure_budgets --zoo DIR [--models NAME ...] [--shares 0 0.05 0.1 0.2] [--markdown F]

DIR holds `zoo.py`, see tools/research/measure_zoo.py. One calibration serves all files of a network.
"""

from __future__ import annotations

import datetime
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

import tfmpq
from tfmpq.benchmark.device import processor
from tfmpq.preparation import Prepared
from tools.research.measuring import predict, shown_divergence, zoo_or_exit, zoo_parser

DEFAULT = "LikeStock()"
_FILES = (
    "| model | budget | of stock's bytes | score | minus stock (s.e.) | agrees with float % | KL | seconds to write |\n"
    "|---|---|---|---|---|---|---|---|"
)
_BYTES = (
    "| model | bytes | names stripped | and bias scales shared | outputs are the same |\n"  #
    "|---|---|---|---|---|"
)


def measure(entry: Any, shares: list[float], calibration: int) -> tuple[list[str], str]:
    """Rows of both tables."""
    prepared = tfmpq.prepare(entry.keras_model(), entry.calibration(calibration), progress=False)
    images, truth = entry.evaluation()
    files: dict[str, bytes] = {}
    seconds: dict[str, float] = {}
    budgets = {DEFAULT: tfmpq.LikeStock()} | {f"+{share:.0%}": tfmpq.ExtraBits(share) for share in shares}
    for name, budget in budgets.items():
        start = time.perf_counter()
        result = prepared.finish(budget=budget)
        seconds[name] = time.perf_counter() - start
        files |= {"float": result.float_model, "stock int8": result.stock_model, name: result.tflite_model}
        print(f"{entry.name}: {name} done", file=sys.stderr, flush=True)
    outputs = {name: predict(content, {"image": images}, threads=2) for name, content in files.items()}
    rows = [
        f"| {entry.name} | {name} | {len(files[name]) / len(files['stock int8']):.3f} | "
        f"{_figures(entry, outputs, name, truth)} | {f'{seconds[name]:.0f}' if name in seconds else ''} |"
        for name in outputs
    ]
    return rows, _bytes_row(entry, prepared, files[DEFAULT], images[:32])


def _figures(entry: Any, outputs: dict[str, list[np.ndarray]], name: str, truth: Any) -> str:
    if entry.task != "classification":
        score = entry.score(outputs[name], truth)
        return f"{score:.1f} | {score - entry.score(outputs['stock int8'], truth):+.1f} | | "
    flat = {key: value[0].reshape(len(truth), -1) for key, value in outputs.items()}
    chosen = {key: value.argmax(1) for key, value in flat.items()}
    right = chosen[name] == truth
    paired = right.astype(float) - (chosen["stock int8"] == truth)
    error = paired.std() / np.sqrt(len(paired))
    divergence = shown_divergence(flat["float"], flat[name]).mean()
    agreement = (chosen[name] == chosen["float"]).mean()
    return (
        f"{100 * right.mean():.1f} | {100 * paired.mean():+.1f} ({100 * error:.1f}) | {100 * agreement:.1f} | "
        f"{divergence:.4f}"
    )


def _bytes_row(entry: Any, prepared: Prepared, content: bytes, images: np.ndarray) -> str:
    stripped = prepared.finish(names="strip").tflite_model
    shared = prepared.finish(names="strip", bias_scales="shared").tflite_model
    expected = predict(content, {"image": images})
    same = all(
        np.array_equal(a, b)
        for other in (stripped, shared)
        for a, b in zip(expected, predict(other, {"image": images}), strict=True)
    )
    sizes = [f"{len(x):,} ({len(x) / len(content) - 1:+.1%})" for x in (stripped, shared)]
    return f"| {entry.name} | {len(content):,} | {sizes[0]} | {sizes[1]} | {'yes' if same else 'NO'} |"


def main() -> None:
    parser = zoo_parser(__doc__)
    parser.add_argument("--shares", nargs="*", type=float, default=[0.0, 0.05, 0.1, 0.2])
    parser.add_argument("--markdown", type=Path)
    options = parser.parse_args()
    zoo = zoo_or_exit(options.zoo)
    about = f"{datetime.date.today()}, {processor()}; {options.calibration} calibration images."
    rows, sizes = [_FILES], [_BYTES]
    for name in options.models or zoo.NAMES:
        found, size = measure(zoo.load(name), options.shares, options.calibration)
        rows += found
        sizes.append(size)
        text = "\n".join([about, "", *rows, "", *sizes]) + "\n"
        if options.markdown:
            options.markdown.write_text(text)
    print(text)


if __name__ == "__main__":
    main()
