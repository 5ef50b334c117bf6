"""Accuracy, agreement, size, latency and conversion time on real networks; writes the README's result table.

    python -m tools.research.measure_zoo --zoo DIR [--models NAME ...] [--calibration 100] [--markdown F] [--json F]

DIR holds `zoo.py` with `load(name)`: `keras_model()`, `calibration(n)`, `evaluation()` and `score(outputs, truth)`.
Every row of a model is converted and measured in this one run, stock int8 included.
"""

from __future__ import annotations

import dataclasses
import datetime
import json
import resource
import sys
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import tfmpq
from converters.runtime import interpreter as runtime
from tfmpq.activations.values.sqnr import sqnr_db
from tfmpq.benchmark.device import processor
from tfmpq.benchmark.latency import latency_ratios
from tools.research.measuring import predict, zoo_or_exit, zoo_parser

FORMS: dict[str, dict[str, Any]] = {
    "tfmpq 8-bit, fused": {"bits": 8, "lowering": "fused"},
    "tfmpq 4-bit +5 %, fused": {"bits": 4, "budget": tfmpq.ExtraBits(0.05), "lowering": "fused"},
    "tfmpq 4-bit +5 %, parallel": {"bits": 4, "budget": tfmpq.ExtraBits(0.05), "lowering": "parallel"},
    "paper (greedy, Epsilon 0.01), parallel": {
        "bits": 4,
        "algorithm": "greedy",
        "budget": tfmpq.Epsilon(0.01),
        "lowering": "parallel",
    },
}
FUSED, PARALLEL = "tfmpq 4-bit +5 %, fused", "tfmpq 4-bit +5 %, parallel"


@dataclasses.dataclass(frozen=True)
class Row:
    """One file of one model. Score and agreement in percent; errors are standard errors, paired with stock."""

    model: str
    form: str
    score: float
    score_minus_stock: float | None
    score_error: float | None
    agreement: float | None
    sqnr_db: float
    bytes: int
    deflated: int
    latency: float
    seconds: float | None
    stages: dict[str, float]


def measure_model(
    entry: Any, calibration: int, forms: dict[str, dict[str, Any]], note: Callable[[str], None]
) -> list[Row]:
    """All rows of one model."""
    samples = entry.calibration(calibration)
    images, truth = entry.evaluation()
    files: dict[str, bytes] = {}
    seconds: dict[str, float | None] = {"float": None, "stock int8": None}
    stages: dict[str, dict[str, float]] = {}
    for form, options in forms.items():
        note(f"{entry.name}: {form}")
        model = entry.keras_model()
        start = time.perf_counter()
        result = tfmpq.convert(model, samples, progress=False, **options)
        seconds[form] = time.perf_counter() - start
        stages[form] = dict(result.report.seconds)
        files.setdefault("float", result.float_model)
        files.setdefault("stock int8", result.stock_model)
        assert files["stock int8"] == result.stock_model, "stock conversion is not deterministic"
        files[form] = result.tflite_model
    note(f"{entry.name}: evaluation")
    outputs = {form: predict(content, {"image": images}, threads=2) for form, content in files.items()}
    note(f"{entry.name}: latency")
    ratios = latency_ratios(files, reference="stock int8")
    classes = entry.task == "classification"
    rows = []
    for form, content in files.items():
        scores, difference, error, agreement = _score(entry, outputs, form, truth, classes)
        # The score's own noise: the file's outputs against the float model's.
        noise = [
            sqnr_db(float((a**2).sum()), float(((a - b) ** 2).sum()))
            for a, b in zip(outputs["float"], outputs[form], strict=True)
        ]
        rows.append(
            Row(entry.name, form, scores, difference, error, agreement, min(noise), len(content),
                len(zlib.compress(content, 9)), ratios[form], seconds.get(form), stages.get(form, {}))
        )  # fmt: skip
    if classes and {FUSED, PARALLEL} <= set(outputs):
        same = (outputs[FUSED][0].argmax(-1) == outputs[PARALLEL][0].argmax(-1)).mean()
        note(f"{entry.name}: parallel agrees with its fused twin on {same:.1%}")
    return rows


def _score(entry: Any, outputs: dict[str, list[np.ndarray]], form: str, truth: Any, classes: bool) -> tuple:
    if not classes:
        score = entry.score(outputs[form], truth)
        return score, score - entry.score(outputs["stock int8"], truth), None, None
    flat = {name: value[0].reshape(len(truth), -1).argmax(1) for name, value in outputs.items()}
    right, stock = flat[form] == truth, flat["stock int8"] == truth
    paired = right.astype(float) - stock
    return (
        100 * right.mean(),
        100 * paired.mean(),
        100 * paired.std() / np.sqrt(len(truth)),
        100 * (flat[form] == flat["float"]).mean(),
    )


def markdown(rows: list[Row], calibration: int) -> str:
    """The table with date, machine and command."""
    lines = [
        f"{datetime.date.today()}, {processor()}, {runtime.runtime_name()}, XNNPACK, 1 thread; "
        f"{calibration} calibration images; `python -m tools.research.measure_zoo --zoo DIR`.",
        "",
        "| model | form | top-1 / mAP50 % | minus stock (s.e.) | agrees with float % | output SQNR dB | kB | "
        "deflated kB | latency | seconds |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for r in rows:
        paired = "" if r.score_minus_stock is None else f"{r.score_minus_stock:+.2f}"
        paired += "" if r.score_error is None else f" ({r.score_error:.2f})"
        agreement = "" if r.agreement is None else f"{r.agreement:.1f}"
        seconds = "" if r.seconds is None else f"{r.seconds:.0f}"
        lines.append(
            f"| {r.model} | {r.form} | {r.score:.2f} | {paired} | {agreement} | {r.sqnr_db:.1f} | "
            f"{r.bytes / 1000:.1f} | {r.deflated / 1000:.1f} | {r.latency:.2f} | {seconds} |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = zoo_parser(__doc__)
    parser.add_argument("--forms", nargs="*", choices=list(FORMS), help="default: all")
    parser.add_argument("--markdown", type=Path)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    zoo = zoo_or_exit(options.zoo)
    forms = {name: FORMS[name] for name in options.forms or FORMS}
    rows: list[Row] = []
    for name in options.models or zoo.NAMES:
        rows += measure_model(
            zoo.load(name), options.calibration, forms, lambda text: print(text, file=sys.stderr, flush=True)
        )
        if options.markdown:
            options.markdown.write_text(markdown(rows, options.calibration))
        if options.json:
            options.json.write_text(json.dumps([dataclasses.asdict(r) for r in rows], indent=1))
    print(markdown(rows, options.calibration))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"peak memory {peak:.2f} GiB, evaluation data included")


if __name__ == "__main__":
    main()
