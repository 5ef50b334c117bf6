"""tables.md of the rows in a directory."""

from __future__ import annotations

import json
import statistics
from pathlib import Path
from typing import Any

from tfmpq.files import write_atomic
from tools.research.training.methods import METHODS

_HEAD = (
    "| widths | method | start | trained, mean (spread) | file | compact kB | deflated kB | latency | seconds |\n"
    "|---|---|---:|---:|---:|---:|---:|---:|---:|"
)
_ABOUT = (
    "Top-1 in per cent. Start: rounded before training. Trained: the simulation after the last epoch, mean of the seeds"
    " and their standard deviation. File: the first seed's, by the interpreter. Bytes of the compact file, and after "
    "zlib level 9. Latency: of the expanded file, relative to stock int8. Seconds: of training, a seed."
)


def write_tables(folder: Path) -> None:
    """tables.md, of all models whose rows lie in ``folder``."""
    parts = ["# Training-time methods side by side", "", _ABOUT, ""]
    for path in sorted(folder.glob("*.jsonl")):
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        parts += [f"## {path.stem}", ""]
        for made_by in {json.dumps(row["made_by"], sort_keys=True): row["made_by"] for row in rows}.values():
            parts += [f"{made_by['when']}; {_conditions(made_by)}; `{made_by['command']}`", ""]
        parts += [_HEAD, *(_line(row) for row in sorted(rows, key=_place)), ""]
    write_atomic(folder / "tables.md", "\n".join(parts).encode())


def _conditions(made_by: dict[str, Any]) -> str:
    return (
        f"{made_by['images']} training and {made_by['test']} test images, {made_by['epochs']} epochs, batches of "
        f"{made_by['batch_size']}, rate {made_by['rate']:g}, {len(made_by['seeds'])} seeds"
    )


def _place(row: dict[str, Any]) -> tuple[int, int, int]:
    weights, _, activations = row["widths"][1:].partition("A")
    method = METHODS.index(row["method"]) if row["method"] in METHODS else -1
    return -int(activations), -int(weights), method


def _line(row: dict[str, Any]) -> str:
    trained, spread = row["trained"], ""
    if len(trained) > 1:
        spread = f" ({statistics.stdev(trained):.2f})"
    cells = (
        row["widths"],
        row["method"],
        "" if row["start"] is None else f"{row['start']:.2f}",
        f"{statistics.mean(trained):.2f}{spread}" if trained else "",
        f"{row['file']:.2f}",
        f"{row['compact'] / 1000:.1f}",
        f"{row['deflated'] / 1000:.1f}",
        "" if row["latency"] is None else f"{row['latency']:.2f}",
        f"{row['seconds']:.0f}" if row["seconds"] else "",
    )
    return f"| {' | '.join(cells)} |"
