"""Time of every operator of a file, each cut into a file of its own; their sum is held against the whole.

An operator alone in a loop finds its weights in the cache, which a network does not: it runs everything else in
between. So the operators' files run in the network's order, once each in a round. What an operator reads and writes is
touched right before it runs, as the network's operator before it has done. And what a run costs beyond its operator is
measured on an almost empty file, one for every operator and just as seldom run, and taken off.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator, Sequence
from typing import get_args

from converters.errors import OptionError
from converters.frontend.unknown_file import open_file
from converters.layers.op_layers import op_layers
from converters.runtime import interpreter as runtime
from converters.runtime.delegation import Coverage, delegate_coverage
from converters.runtime.interpreter import Delegate
from converters.runtime.op_slices import Slices, cut_ops
from converters.runtime.values import quantize
from converters.tflite.graph import Model
from converters.tflite.reader import load
from tfmpq.analysis.op_times import TOLERANCE, OpTime, PerOp
from tfmpq.analysis.per_op_timing import Clock, Piece, TimedSlice, Times, measure, prepare
from tfmpq.benchmark.inputs import random_inputs
from tfmpq.progress import Progress

_BUSY = 0.10  # spread of the whole file's time (quartiles over median) that makes a difference unsurprising
_SMALL = 0.15  # share of the operators' overhead in the whole from which its own error counts


def per_op(
    content: bytes,
    *,
    threads: int = 1,
    delegate: Delegate = "xnnpack",
    rounds: int | None = None,
    seed: int = 0,
    progress: bool = True,
    clock: Clock = time.perf_counter,
) -> PerOp:
    """Times every operator of the main graph.

    Args:
        content: a .tflite file.
        threads: CPU threads.
        delegate: ``"xnnpack"``, or ``"builtin"`` for the runtime's own kernels.
        rounds: how often everything runs; None: as often as fits into a few seconds.
        seed: of the random inputs.
        progress: show a bar on stderr.
        clock: seconds.

    Raises:
        FileFormatError: The file cannot be read or run.
        OptionError: An option is out of range.
    """
    if threads < 1 or (rounds is not None and rounds < 1):
        raise OptionError(f"threads={threads} and rounds={rounds} must be at least 1")
    if delegate not in get_args(Delegate):
        raise OptionError(f"delegate={delegate!r}: give one of {', '.join(map(repr, get_args(Delegate)))}")
    whole = open_file(content, kernels=delegate, threads=threads)
    coverage = delegate_coverage(whole)  # before it runs
    model = load(content)
    feed = random_inputs(runtime.inputs(whole), seed)
    slices = cut_ops(content, model, feed, kernels=delegate)
    runtime.run(whole, feed)
    raw = [quantize(feed[d.name], d) for d in runtime.inputs(whole)]
    pieces, left_out = prepare(slices, delegate, threads, {number for number, _ in coverage.left})
    times = measure(Piece(whole, raw, ()), pieces, rounds, threads, clock, Progress(progress))
    return _result(model, coverage, slices, pieces, left_out, times, threads, delegate)


def _result(
    model: Model,
    coverage: Coverage,
    slices: Slices,
    pieces: Sequence[TimedSlice],
    left_out: dict[int, str],
    times: Times,
    threads: int,
    delegate: Delegate,
) -> PerOp:
    whole = statistics.median(times.whole) * 1e6
    medians = [
        (p, statistics.median(t) * 1e6, statistics.median(e) * 1e6)
        for p, t, e in zip(pieces, times.pieces, times.empty, strict=True)
    ]
    costs = {kind: [e for p, _, e in medians if p.delegated == kind] for kind in (True, False)}
    cost = {kind: statistics.median(found) for kind, found in costs.items() if found}
    found = {p.cut.op: max(t - cost[p.delegated], 0.0) for p, t, _ in medians}
    overhead = cost.get(coverage.partitions > 0, next(iter(cost.values()), 0.0))
    notes = {p.cut.op: p.note for p in pieces} | left_out
    notes |= {op: f"timed with operator {reader}" for op, reader in slices.joined.items() if op not in left_out}
    total = sum(found.values())
    layers = op_layers(model).names
    rows = tuple(
        OpTime(
            number,
            op.name,
            layers[op],
            tuple(t.shape for t in op.inputs if t is not None and t.data is None),
            tuple(t.shape for t in op.outputs),
            found.get(number),
            found[number] / total if number in found and total else None,
            notes.get(number, ""),
        )
        for number, op in enumerate(model.graph.ops)
    )
    ratio = (total + overhead) / whole
    reasons = _reasons(ratio, whole, overhead * len(pieces), times.whole, coverage, left_out, threads)
    return PerOp(
        rows=rows,
        whole_us=whole,
        sum_us=total + overhead,
        overhead_us=overhead,
        agreement=ratio,
        reasons=() if abs(ratio - 1) <= TOLERANCE else tuple(reasons),
        rounds=len(times.whole),
        threads=threads,
        delegate=delegate,
        runtime=runtime.runtime_name(),
    )


def _reasons(
    ratio: float,
    whole: float,
    overheads: float,
    seconds: Sequence[float],
    coverage: Coverage,
    left_out: dict[int, str],
    threads: int,
) -> Iterator[str]:
    """Likely reasons for a difference, most likely first."""
    if ratio < 1 and left_out:
        yield f"{len(left_out)} of {coverage.total_ops} operators could not be timed alone"
    low, _, high = statistics.quantiles(seconds, n=4) if len(seconds) > 1 else (seconds[0],) * 3
    spread = (high - low) * 1e6 / whole
    if spread > _BUSY:
        yield f"the machine is busy: the whole file's own time varies by {spread:.0%} between the quartiles"
    if ratio < 1 and coverage.partitions > 1:
        yield f"the delegate runs the file in {coverage.partitions} pieces, and changing hands is no operator's time"
    if threads > 1:
        yield f"{threads} threads must be woken for every operator alone, but stay awake inside the network"
    if overheads > _SMALL * whole:
        yield (
            f"the operators are small: {overheads:.0f} us of overhead were taken off, {overheads / whole:.0%} of the "
            "whole, and the error of that counts"
        )
    where = "farther away" if ratio > 1 else "nearer"
    yield f"caches: alone, the operators find their data {where} than in the network"
