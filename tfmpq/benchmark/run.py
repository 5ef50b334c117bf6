"""Latency, memory and delegate coverage of .tflite files, side by side on this machine.

    from tfmpq.benchmark import benchmark
    print(benchmark(["stock.tflite", "tfmpq.tflite"], threads=(1, 2)))

Every file runs in a process of its own for every configuration: one that crashes loses nobody else's figures, and its
memory is its own. The processes of a configuration take turns in many short rounds, in a new order each time and never
two at once, so that clock changes and other work meet all of them. The first file always runs in a second process too:
what that pair differs by is noise.
"""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any, get_args

from converters.errors import OptionError
from converters.paths import path_text
from converters.printable import shown
from converters.runtime.interpreter import Delegate
from tfmpq.benchmark.device import Device, describe_device, disturbances, load_average
from tfmpq.benchmark.entry_files import entry_files
from tfmpq.benchmark.result import BenchmarkResult, Noise, Pair, Run
from tfmpq.benchmark.rounds import Group, Plan, Subject, measure
from tfmpq.benchmark.statistics import summarize, time_ratio
from tfmpq.benchmark.worker import Job
from tfmpq.files import read_npz
from tfmpq.progress import Progress

_MOST = 2**31 - 1
# What a process reports once it is ready, under the same names as in a row.
_REPORTED = ("runtime", "init_ms", "first_ms", "output_sha256", "delegated_ops", "ops", "partitions")
_NOISY = 2.0  # percent; what the forms of a model differ by is a few


class BenchmarkInterrupted(KeyboardInterrupt):
    """Ctrl-C during a benchmark.

    Attributes:
        result: what was measured until then; runs that were not timed have an error.
    """

    def __init__(self, result: BenchmarkResult) -> None:
        super().__init__()
        self.result = result


def benchmark(
    files: Sequence[str | os.PathLike[str]],
    *,
    threads: Sequence[int] = (1,),
    delegates: Sequence[Delegate] = ("xnnpack",),
    warmup: int = 5,
    min_runs: int = 50,
    min_seconds: float = 1.5,
    rounds: int = 25,
    inputs: str | os.PathLike[str] | None = None,
    signature: str | None = None,
    seed: int = 0,
    timeout: float = 120.0,
    progress: bool = True,
) -> BenchmarkResult:
    """Times files against the first of them.

    Args:
        files: paths of .tflite files; all must have inputs of the same shapes, types may differ.
        threads: numbers of CPU threads; each is measured with each delegate.
        delegates: ``"xnnpack"``, and ``"builtin"`` for the runtime's kernels without a delegate.
        warmup: inferences before the first round.
        min_runs: fewest timed inferences of a process.
        min_seconds: fewest seconds of them.
        rounds: rounds in which the processes take turns; intervals need six.
        inputs: an .npz with one array, batch dimension included, under each input's name; for models with one input
            any one array. Real values are quantized as the input asks, integers of the input's own type are taken as
            they are. None: random values.
        signature: which one to run, of files with several; None: that of the main graph.
        seed: seed of the random values and of the order within rounds.
        timeout: seconds to wait for a process to get ready or to do a round before it is given up.
        progress: show a progress bar on stderr.

    Raises:
        OptionError: An option is out of range, or a file has no such signature.
        DataError: The inputs cannot be read.
        MissingDependencyError: No interpreter is installed.
        BenchmarkInterrupted: Ctrl-C; it carries what was measured.
    """
    _check_options(files, threads, delegates, warmup, min_runs, min_seconds, rounds, timeout, seed)
    threads, delegates = list(dict.fromkeys(threads)), list(dict.fromkeys(delegates))
    load, device = load_average(), describe_device()
    warnings = disturbances(device, threads, load)
    given = None if inputs is None else path_text(inputs, "a file of inputs")
    if given is not None:
        read_npz(given)  # an unreadable file is not each model's problem
    paths = [os.fspath(file) for file in files]
    plan = Plan(rounds, math.ceil(min_runs / rounds), min_seconds / rounds, seed, timeout)
    with entry_files(paths, signature) as loaded:
        groups = [
            Group([Subject(Job(path, count, delegate, given, seed, warmup, loaded.get(path))) for path in paths])
            for delegate in delegates
            for count in threads
        ]
        try:
            for group in groups:
                measure(group, plan, Progress(progress))
        except KeyboardInterrupt:
            raise BenchmarkInterrupted(_result(device, warnings, groups)) from None
    return _result(device, warnings, groups)


def _check_options(
    files: object,
    threads: object,
    delegates: object,
    warmup: object,
    min_runs: object,
    min_seconds: object,
    rounds: object,
    timeout: object,
    seed: object,
) -> None:
    if isinstance(files, (str, bytes, os.PathLike)) or not isinstance(files, Sequence) or not files:
        raise OptionError(f"files={shown(files)}: give a list of paths")
    for file in files:
        path_text(file, "a .tflite file")
    known = get_args(Delegate)
    for wrong, problem in (
        (not _listed(threads, lambda n: _whole(n, 1)), f"threads={shown(threads)}: give numbers of 1 or more"),
        (
            not _listed(delegates, lambda name: isinstance(name, str) and name in known),
            f"delegates={shown(delegates)}: there are {', '.join(known)}",
        ),
        (not _whole(warmup, 0), f"warmup={shown(warmup)}: give 0 or more inferences"),
        (not _whole(min_runs, 1), f"min_runs={shown(min_runs)}: give 1 or more inferences"),
        (not _number(min_seconds), f"min_seconds={shown(min_seconds)}: give 0 or more seconds"),
        (not _whole(rounds, 1), f"rounds={shown(rounds)}: give 1 or more"),
        (not _number(timeout) or not timeout, f"timeout={shown(timeout)}: give more than 0 seconds"),
        (not _whole(seed, 0), f"seed={shown(seed)}: give a whole number from 0 to {_MOST}"),
    ):
        if wrong:
            raise OptionError(problem)


def _listed(values: object, good: Callable[[object], bool]) -> bool:
    return isinstance(values, Sequence) and not isinstance(values, str) and bool(values) and all(map(good, values))


def _whole(value: object, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= _MOST


def _number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value <= _MOST


def _result(device: Device, warnings: Sequence[str], groups: Sequence[Group]) -> BenchmarkResult:
    pairs = [pair for pair in map(_pair, groups) if pair is not None]
    return BenchmarkResult(
        device=device,
        noise=Noise(
            percent=max((pair.percent for pair in pairs), default=None),
            pairs=tuple(pairs),
            warnings=(*warnings, *_noise_warning(pairs)),
        ),
        runs=tuple(_run(subject, group.subjects[0]) for group in groups for subject in group.subjects),
    )


def _pair(group: Group) -> Pair | None:
    twin = group.twin
    if twin is None:
        return None
    original = next(subject for subject in group.subjects if subject.job is twin.job)
    if not original.rounds or not twin.rounds:
        return None
    ratio = time_ratio(twin.rounds, original.rounds)
    return Pair(
        path=twin.job.path,
        threads=twin.job.threads,
        delegate=twin.job.delegate,
        ratio=ratio.ratio,
        ratio_low=ratio.low,
        ratio_high=ratio.high,
        spread=ratio.spread,
        percent=100 * ratio.doubt,
    )


def _noise_warning(pairs: Sequence[Pair]) -> Iterator[str]:
    worst = max(pairs, key=lambda pair: pair.percent, default=None)
    if worst is not None and worst.percent > _NOISY:
        yield (
            f"this machine is too noisy now: '{worst.path}' against itself ({worst.delegate}, threads {worst.threads}) "
            f"came out as {worst}, so differences below {worst.percent:.1f} % mean nothing; close other "
            "programs, or take more --rounds and --min_seconds"
        )


def _run(subject: Subject, first: Subject) -> Run:
    """A process as a row of the result."""
    job, ready = subject.job, subject.ready
    found: dict[str, Any] = {}
    if ready is not None:
        found = {name: getattr(ready, name) for name in _REPORTED} | {"peak_rss_mb": subject.peak_rss_mb}
    error = subject.error
    if error is None and not subject.rounds:
        error = "interrupted before it was timed"
    if error is None:
        found |= dataclasses.asdict(summarize(subject.rounds))
        if first.error is None and first.rounds:
            ratio = time_ratio(subject.rounds, first.rounds)
            found |= {"ratio": ratio.ratio, "ratio_low": ratio.low, "ratio_high": ratio.high}
    return Run(path=job.path, bytes=_size(job.path), threads=job.threads, delegate=job.delegate, error=error, **found)


def _size(path: str) -> int | None:
    try:
        return os.path.getsize(path)
    except OSError:
        return None
