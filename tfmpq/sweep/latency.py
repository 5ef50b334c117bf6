"""Latency of a sweep's files relative to their model's stock file, once no job runs any more."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from typing import Any

from tfmpq.benchmark.latency import many_latency_ratios
from tfmpq.progress import Progress
from tfmpq.storage import Place
from tfmpq.sweep.bases import STOCK
from tfmpq.sweep.figures import runnable
from tfmpq.sweep.results import LATENCIES, Journal

Plain = dict[str, Any]


def measure_latencies(folder: Place, rows: Sequence[Plain], *, progress: bool) -> None:
    """Measures the files that have not been measured: in turns with stock, one inference at a time, on this machine.

    Args:
        folder: of the sweep.
        rows: all that are there.
        progress: show a bar on stderr.
    """
    journal = Journal(folder / LATENCIES)
    made = {row["key"]: row for row in rows if "error" not in row}

    def is_known(row: Plain) -> bool:
        found = journal.entries.get(row["key"])
        return found is not None and found["digest"] == row["digest"]

    def read(key: str) -> bytes:
        return runnable(made[key]["variant"], (folder / made[key]["file"]).read_bytes())

    stocks = {row["model"]: key for key, row in made.items() if row["variant"] == STOCK}
    for model in Progress(progress)(list(stocks), len(stocks), "latency"):
        keys = [key for key, row in made.items() if row["model"] == model and not is_known(row)]
        if not keys:
            continue
        for same, ratio in many_latency_ratios(keys, read, reference=read(stocks[model])):
            for key in same:
                digest = made[key]["digest"]
                journal.append({"key": key, "digest": digest, "latency": round(ratio, 4), "host": platform.node()})
    journal.close()
