"""What expanding a compact file at load costs: time to the first result, peak memory, milliseconds per million weights.

    python -m tools.research.measure_expand COMPACT.tflite ... [--stock STOCK.tflite ...] [--markdown F] [--json F]

Every figure comes from processes of their own, which load one file once: the interpreter is created, its tensors are
allocated and zeros are run. "fused, from disk" is the expanded file written out beforehand: what an application would
ship without compact files. Give the stock int8 files in the same order to have them measured beside.
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from converters.lowering.expand import expand
from converters.runtime import interpreter as runtime
from converters.tflite.graph import TensorType
from converters.tflite.reader import load
from tfmpq.benchmark.device import processor
from tfmpq.benchmark.latency import latency_ratios

FUSED, COMPACT, STOCK = "fused, from disk", "compact, expanded", "stock int8"
_EXPANSIONS = 15  # repetitions in one process, of which the fastest counts: the others met other work


@dataclasses.dataclass(frozen=True)
class Row:
    """One way to load one network. Times in milliseconds, memory in MB above what the process held before."""

    model: str
    form: str
    bytes: int
    load: float
    expansion: float | None
    per_million: float | None
    memory: float
    latency: float


def child(path: str, expands: bool) -> dict[str, float]:
    """Loads a file and runs it once; meant for a process of its own."""
    before = _memory("VmRSS")
    start = time.perf_counter()
    content = Path(path).read_bytes()
    if expands:
        content = expand(content)
    interpreter = runtime.make_interpreter(content)
    runtime.run(
        interpreter, {d.name: np.zeros([max(n, 1) for n in d.shape], d.dtype) for d in runtime.inputs(interpreter)}
    )
    loaded = time.perf_counter() - start
    result = {"load": 1000 * loaded, "memory": _memory("VmHWM") - before}
    if expands:
        compact, times = Path(path).read_bytes(), []
        for _ in range(_EXPANSIONS):
            start = time.perf_counter()
            expand(compact)
            times.append(1000 * (time.perf_counter() - start))
        result["expansion"] = min(times)
    return result


def _memory(which: str) -> float:
    """Memory of this process in MB: resident now (VmRSS) or at most since it started (VmHWM)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(which)) / 1024


def _median_of_processes(path: Path, expands: bool, runs: int) -> dict[str, float]:
    command = [sys.executable, __file__, str(path), "--child", *(["--expands"] if expands else [])]
    found = []
    for _ in range(runs):
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        found.append(json.loads(done.stdout.splitlines()[-1]))
    return {key: statistics.median(result[key] for result in found) for key in found[0]}


def weights_of(content: bytes) -> int:
    """Numbers that the file's integer weights hold."""
    kinds = (TensorType.INT8, TensorType.INT4)
    return sum(int(np.prod(t.shape)) for t in load(content).graph.tensors() if t.data and t.type in kinds)


def measure(compact: Path, stock: Path | None, runs: int) -> list[Row]:
    """Rows of one network."""
    content = compact.read_bytes()
    fused = expand(content)
    files = {FUSED: fused} | ({} if stock is None else {STOCK: stock.read_bytes()})
    latency = latency_ratios(files, reference=FUSED if stock is None else STOCK)
    millions = weights_of(fused) / 1e6
    name = compact.name.removesuffix(".tflite").removesuffix(".compact")
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for form, data in files.items():
            path = Path(folder) / "file.tflite"
            path.write_bytes(data)
            found = _median_of_processes(path, False, runs)
            rows.append(Row(name, form, len(data), found["load"], None, None, found["memory"], latency[form]))
    found = _median_of_processes(compact, True, runs)
    took = found["expansion"]
    rows.append(Row(name, COMPACT, len(content), found["load"], took, took / millions, found["memory"], latency[FUSED]))
    return rows


def markdown(rows: Sequence[Row], runs: int) -> str:
    """The result as a table, with what it was measured on."""
    lines = [
        f"{datetime.date.today()}, {processor()}, {runtime.runtime_name()}, 1 thread, medians of {runs} processes.",
        "",
        "| network | file | kB | load to first result, ms | of it expansion, ms | ms per million weights "
        "| peak memory, MB | latency |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        expansion = ("-", "-") if row.per_million is None else (f"{row.expansion:.1f}", f"{row.per_million:.1f}")
        cells = (row.model, row.form, f"{row.bytes / 1000:.0f}", f"{row.load:.1f}", *expansion)
        lines.append("| " + " | ".join((*cells, f"{row.memory:.1f}", f"{row.latency:.2f}")) + " |")
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str] | None = None, note: Callable[[str], None] = print) -> None:
    """Measures the files of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", type=Path, help="compact .tflite files")
    parser.add_argument("--stock", nargs="*", type=Path, help="their stock int8 files, in the same order")
    parser.add_argument("--runs", type=int, default=7, help="processes for each figure")
    parser.add_argument("--markdown", type=Path, help="file for the table")
    parser.add_argument("--json", type=Path, help="file for the raw numbers")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--expands", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    if given.child:
        note(json.dumps(child(str(given.files[0]), given.expands)))
        return
    if given.stock and len(given.stock) != len(given.files):
        parser.error(f"{len(given.stock)} stock files for {len(given.files)} compact ones: give one for each")
    rows = []
    for i, path in enumerate(given.files):
        rows += measure(path, given.stock[i] if given.stock else None, given.runs)
    table = markdown(rows, given.runs)
    note(table)
    if given.markdown:
        given.markdown.write_text(table)
    if given.json:
        given.json.write_text(json.dumps([dataclasses.asdict(row) for row in rows], indent=2))


if __name__ == "__main__":
    main()
