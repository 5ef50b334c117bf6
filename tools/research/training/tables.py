"""tables.md of the rows in a directory."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tfmpq.files import write_atomic
from tfmpq.text import plural
from tools.research.training.methods import METHODS, WIDTHS, form_of

LATENCIES = "latency.json"  # name of a network -> times of forms, see tools/research/training/latency.py

_HEAD = (
    "| widths | method | images x epochs | rate | start | trained, mean (spread) | file | compact kB | deflated kB "
    "| latency | seconds |\n|---|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|"
)
_ABOUT = (
    "Top-1 in per cent. Varied: images are shifted and mirrored from epoch to epoch. Rate: of Adam at the start; with "
    "an asterisk where normalizations are trained too. Start: rounded before training. Trained: the simulation after "
    "the last epoch, mean of the seeds and their standard deviation. File: the first seed's, by the interpreter. Bytes "
    "of the compact file, and after zlib level 9. Latency: of an expanded file of this form, relative to stock int8 "
    "(XNNPACK, one thread). Seconds: of training, a seed."
)


def write_tables(folder: Path) -> None:
    """tables.md, of all models whose rows lie in ``folder``."""
    measured = folder / LATENCIES
    latencies = json.loads(measured.read_text()) if measured.exists() else {}
    parts = ["# Training-time methods side by side", "", _ABOUT, ""]
    for path in sorted(folder.glob("*.jsonl")):
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        parts += [f"## {path.stem}", "", *overview(rows), "", "How each was made, and all there is:", ""]
        parts += [f"* {line}" for line in dict.fromkeys(_origin(row["made_by"]) for row in rows)]
        times = latencies.get(path.stem)
        if times is not None:
            parts += [f"* Latency: {times['when']}; `{times['command']}`"]
        ratios = {} if times is None else times["ratios"]
        parts += ["", _HEAD, *(_line(row, ratios) for row in sorted(rows, key=_place)), ""]
    write_atomic(folder / "tables.md", "\n".join(parts).encode())


def overview(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Lines of a table: a method a line, a column for each width."""
    widths = [str(wide) for wide in WIDTHS]
    found = {(row["method"], row["widths"]): _trained(row) or f"{row['file']:.2f}" for row in chosen(rows)}
    lines = [f"| top-1, % | {' | '.join(widths)} |", f"|---|{'---:|' * len(widths)}"]
    for method in METHODS:
        if any((method, wide) in found for wide in widths):
            lines.append(f"| {method} | {' | '.join(found.get((method, wide), '') for wide in widths)} |")
    return lines


def chosen(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """One row a method and usual width: that of the most seeds, and of these the last."""
    usual = {str(wide) for wide in WIDTHS}
    best: dict[tuple[str, str], dict[str, Any]] = {}
    for row in rows:
        key = row["method"], row["widths"]
        if (
            row["method"] in METHODS
            and row["widths"] in usual
            and (key not in best or len(row["trained"]) >= len(best[key]["trained"]))
        ):
            best[key] = row
    return list(best.values())


def _trained(row: dict[str, Any]) -> str:
    """Mean of the seeds and their spread; empty for what is not trained."""
    trained = row["trained"]
    if not trained:
        return ""
    return f"{statistics.mean(trained):.2f}" + (f" ({statistics.stdev(trained):.2f})" if len(trained) > 1 else "")


def _origin(made_by: dict[str, Any]) -> str:
    return (
        f"{made_by['when']}; {made_by['test']} test images, batches of {made_by['batch_size']}, "
        f"{plural(len(made_by['seeds']), 'seed')}; `{made_by['command']}`"
    )


def _place(row: dict[str, Any]) -> tuple[int, int, int, int]:
    weights, _, activations = row["widths"][1:].partition("A")
    method = METHODS.index(row["method"]) if row["method"] in METHODS else -1
    return -int(activations), -int(weights), method, row["made_by"]["images"] * row["made_by"]["epochs"]


def _line(row: dict[str, Any], latencies: Mapping[str, float]) -> str:
    made_by, trained = row["made_by"], row["trained"]
    latency = latencies.get(form_of(row["method"], row["widths"]))
    cells = (
        row["widths"],
        row["method"],
        _amount(made_by) if trained else "",
        _rate(made_by) if trained else "",
        "" if row["start"] is None else f"{row['start']:.2f}",
        _trained(row),
        f"{row['file']:.2f}",
        f"{row['compact'] / 1000:.1f}",
        f"{row['deflated'] / 1000:.1f}",
        "" if latency is None else f"{latency:.2f}",
        f"{row['seconds']:.0f}" if row["seconds"] else "",
    )
    return f"| {' | '.join(cells)} |"


def _amount(made_by: dict[str, Any]) -> str:
    return f"{made_by['images']} x {made_by['epochs']}{', varied' if made_by['varied'] else ''}"


def _rate(made_by: dict[str, Any]) -> str:
    if made_by["rate"] is None:
        return "its own"
    return f"{made_by['rate']:g}{'*' if made_by['norms'] == 'trained' else ''}"
