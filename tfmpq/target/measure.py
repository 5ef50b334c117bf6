"""Measures the cost table of a target on this machine: what ``tfmpq target`` writes.

Several hundred files of a single operator are timed on one thread, in turns, for a few minutes; the fastest of many
runs counts. Weights are kept out of the cache, as in a network larger than that.
"""

from __future__ import annotations

import datetime
import platform
import statistics
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from converters.errors import FileFormatError
from converters.runtime.delegation import delegate_coverage
from converters.runtime.interpreter import Kernels, make_interpreter, runtime_name
from converters.targets import Limit, Target, to_json
from converters.targets.files import read_table
from tfmpq.benchmark.device import processor
from tfmpq.progress import Progress
from tfmpq.target.fit import fit_rows
from tfmpq.target.grid import cases as all_cases
from tfmpq.target.models import Case, file_of, layer
from tfmpq.target.operators import plain, product
from tfmpq.target.timing import PASSES, ROUNDS, Clock, time_cases, time_partition
from tfmpq.text import Column, Table, to_terminal

_MOST_PIECES = 9
# Of all a processor can, what int8 kernels are chosen by.
_FLAGS = (
    "avx2", "avx512f", "avx512bw", "avx512vbmi", "avx512_vnni", "avx_vnni", "avx_vnni_int8", "gfni", "amx_int8",
    "asimd", "asimddp", "i8mm", "sve", "sve2", "sme", "sme2",
)  # fmt: skip


def measure_target(
    name: str,
    kernels: Kernels,
    cases: Sequence[Case] | None = None,
    *,
    passes: int = PASSES,
    rounds: int = ROUNDS,
    clock: Clock = time.perf_counter,
    progress: bool = False,
) -> Target:
    """The table of a target on this machine.

    Args:
        name: of the table.
        kernels: which kernels of the runtime.
        cases: the operators to time; None: all that tables are measured on.
        passes, rounds, clock: see :func:`tfmpq.target.timing.time_cases`.
        progress: show a bar.

    Raises:
        FileFormatError: Too few operators could be timed for a table that conversions can use.
    """
    cases = all_cases() if cases is None else cases
    shown = Progress(progress)

    def bar(items: Iterable[int], total: int) -> Iterable[int]:
        return shown(items, total, f"operators on {name}")

    timed = time_cases(cases, kernels, passes=passes, rounds=rounds, clock=clock, progress=bar)
    more = "" if passes == PASSES else f" --passes {passes}"
    measured = {
        "machine": processor(),
        "flags": cpu_flags(),
        "system": f"{platform.system()} {platform.machine()}",
        "runtime": runtime_name(),
        "threads": 1,
        "date": datetime.date.today().isoformat(),
        "command": f"tfmpq target --target {kernels} --output {name}.json" + more,
        "operators": len(timed),
    }
    partition = round(time_partition(kernels, clock=clock), 3)
    target = Target(name, kernels, fit_rows(timed), find_limits(kernels), partition, measured)
    read_table(to_json(target), f"the table of {runtime_name()} on this machine")  # has it all that is needed?
    return target


def find_limits(kernels: Kernels) -> tuple[Limit, ...]:
    """What keeps an operator from the delegate, found by asking it."""
    if not _taken(plain("ADD", 7, 16), kernels):
        return ()
    # A runtime that refuses INT4 rows one by one exists (TensorFlow 2.21), so two are asked for everywhere.
    limits = [Limit("FULLY_CONNECTED", "INT4", "rows", minimum=2)]
    if not _taken(layer("dense", 7, 15, 16, bits=4), kernels):
        limits.append(Limit("FULLY_CONNECTED", "INT4", "depth", multiple=2))
    for pieces in range(2, _MOST_PIECES):
        if not _taken(plain("CONCATENATION", 7, 32, pieces=pieces), kernels):
            limits.append(Limit("CONCATENATION", "", "inputs", maximum=pieces - 1))
            break
    if not _taken(product(1, 8, 8, 8, zero_point=3), kernels):
        limits.append(Limit("BATCH_MATMUL", "", "symmetric", maximum=1))
    return tuple(limits)


def _taken(case: Case, kernels: Kernels) -> bool:
    try:
        return not delegate_coverage(make_interpreter(file_of(case, 1), kernels=kernels)).left
    except FileFormatError:
        return False


def cpu_flags() -> list[str]:
    """The processor's instruction sets that matter to int8 kernels."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return []
    there = {flag for line in lines if line.startswith(("flags", "Features")) for flag in line.split(":", 1)[1].split()}
    return [flag for flag in _FLAGS if flag in there]


def describe(target: Target) -> str:
    """How well the table predicts what it was made of, a line a row."""
    rows = (
        (
            " ".join(filter(None, (row.op, row.weights, row.activation, row.shape))),
            "yes" if row.delegated else "no",
            "x".join(map(str, row.tile)),
            str(row.measured),
            f"{100 * row.error:.0f} %",
        )
        for row in target.rows
    )
    titles = ("delegated", "tile", "timed", "mean error")
    errors = [row.error for row in target.rows for _ in range(row.measured)]
    notes = (
        f"{len(errors)} operators, mean error {100 * statistics.mean(errors):.1f} %",
        f"each operator left to other kernels: {target.partition:.2f} us for the change of hands",
    )
    columns = (Column("operator"), *(Column(title, numeric=True) for title in titles))
    return to_terminal([Table(columns, tuple(rows), notes=notes)])
