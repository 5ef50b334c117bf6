"""What `effort="best"` brings on real networks: KL, agreement and top-1 at equal budgets, seconds and memory.

    python -m tools.research.measure_effort --zoo DIR [--models NAME ...] [--budgets 0 0.1] [--calibration 100]
        [--bytes 0.58] [--views 1] [--markdown F]

DIR holds `zoo.py`, see tools/research/measure_zoo.py. Both efforts of a model run in this one process, best last, so
that its peak memory is the process's. With `--bytes` there are also files of at most that share of stock's bytes, and
the same with `names="strip", bias_scales="shared"`, whose bytes go into further points.
"""

from __future__ import annotations

import datetime
import resource
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

import tfmpq
from tfmpq.benchmark.device import processor
from tools.research.measuring import predict, shown_divergence, zoo_or_exit, zoo_parser

_HEAD = (
    "| model | file | of stock's bytes | KL | change (s.e.) | agrees with float % | top-1 % | seconds | GiB |\n"
    "|---|---|---|---|---|---|---|---|---|"
)

_LEAN = {"names": "strip", "bias_scales": "shared"}


def measure(entry: Any, budgets: list[float], shares: list[float], calibration: int, views: int) -> list[str]:
    """Rows of the table for one classifier."""
    samples = entry.calibration(calibration)
    data = samples if views == 1 else tfmpq.image_views(samples, views)
    images, truth = entry.evaluation()
    files: dict[str, bytes] = {}
    spent: dict[str, tuple[float, float]] = {}
    for effort in ("fast", "best"):
        start = time.perf_counter()
        prepared = tfmpq.prepare(entry.keras_model(), data, effort=effort, progress=False)
        first = time.perf_counter() - start
        size = len(prepared.network.stock.content)
        wishes: dict[str, dict[str, Any]] = {
            f"+{budget:.0%}": {"budget": tfmpq.ExtraBits(budget)} for budget in budgets
        }
        for share in shares:
            limit = {"budget": tfmpq.MaxBytes(int(share * size))}
            wishes |= {f"{share:.2f} x": limit, f"{share:.2f} x, lean": {**limit, **_LEAN}}
        for wish, chosen in wishes.items():
            start = time.perf_counter()
            result = prepared.finish(**chosen)
            name = f"{effort}, {wish}"
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
            spent[name] = first + time.perf_counter() - start, peak
            files |= {"float": result.float_model, "stock int8": result.stock_model, name: result.tflite_model}
            print(f"{entry.name}: {name} done", file=sys.stderr, flush=True)
    outputs = {name: predict(content, {"image": images}, threads=2)[0] for name, content in files.items()}
    reference = outputs.pop("float")
    each = {name: shown_divergence(reference, found) for name, found in outputs.items()}
    rows = []
    for name, found in outputs.items():
        other = each.get(name.replace("best", "fast"), each[name])
        change = each[name] - other
        paired = ""
        if "best" in name:
            error = change.std() / np.sqrt(len(change))
            paired = f"{100 * change.mean() / other.mean():+.1f} % ({100 * error / other.mean():.1f})"
        seconds, peak = spent.get(name, (0.0, 0.0))
        cost = f"{seconds:.0f} | {peak:.2f}" if seconds else " | "
        agrees = 100 * (found.argmax(1) == reference.argmax(1)).mean()
        rows.append(
            f"| {entry.name} | {name} | {len(files[name]) / len(files['stock int8']):.3f} | {each[name].mean():.4f} | "
            f"{paired} | {agrees:.1f} | {100 * (found.argmax(1) == truth).mean():.1f} | {cost} |"
        )
    return rows


def main() -> None:
    parser = zoo_parser(__doc__)
    parser.add_argument("--budgets", nargs="*", type=float, default=[0.0, 0.1], help="extra bits; default: 0 0.1")
    parser.add_argument("--bytes", nargs="*", type=float, default=[], help="of stock's; default: none")
    parser.add_argument("--views", type=int, default=1, help="of each calibration image")
    parser.add_argument("--markdown", type=Path)
    options = parser.parse_args()
    zoo = zoo_or_exit(options.zoo)
    about = f"{datetime.date.today()}, {processor()}; {options.calibration} calibration images, {options.views} views."
    lines = [about, "", _HEAD]
    for name in options.models or zoo.NAMES:
        entry = zoo.load(name)
        if entry.task == "classification":
            lines += measure(entry, options.budgets, options.bytes, options.calibration, options.views)
        text = "\n".join(lines) + "\n"
        if options.markdown:
            options.markdown.write_text(text)
    print(text)


if __name__ == "__main__":
    main()
