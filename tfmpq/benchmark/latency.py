"""Latency of files relative to one of them, measured in turns so that load and clock changes meet all of them."""

from __future__ import annotations

import hashlib
import math
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from converters.runtime import interpreter as runtime

_AT_A_TIME = 8  # files measured in turns with the reference: more would keep too many models in the caches
_REPEATS = 3  # with new interpreters and in another order: turns can fall into step with whatever else the machine does
_ROUNDS = 15
_ROUND_SECONDS = 0.01  # a file's share of half a round: enough runs that the timer's own cost vanishes


def latency_ratios(
    files: Mapping[str, bytes], *, reference: str, threads: int = 1, sample: Mapping[str, np.ndarray] | None = None
) -> dict[str, float]:
    """Median over interleaved rounds of each file's time over the reference's, with XNNPACK.

    Args:
        files: label -> .tflite bytes, all with the same inputs.
        reference: label of the file that has ratio 1.
        threads: CPU threads.
        sample: what they are fed, input name -> array with batch dimension 1; None: zeros, which not every network
            takes (a mean over the tokens of a mask divides by their number).
    """
    interpreters = {label: runtime.make_interpreter(content, threads=threads) for label, content in files.items()}
    runs = {}
    for label, interpreter in interpreters.items():
        zeros = {d.name: np.zeros([max(n, 1) for n in d.shape], d.dtype) for d in runtime.inputs(interpreter)}
        feeds = zeros if sample is None else sample
        runtime.run(interpreter, feeds)
        runs[label] = max(1, round(_ROUND_SECONDS / _seconds(interpreter, 3)))
    ratios: dict[str, list[float]] = {label: [] for label in files}
    labels = list(files)
    for _ in range(_ROUNDS):
        times = dict.fromkeys(files, 0.0)
        # There and back again: a busy machine lets a process run undisturbed at first, and who always came first then
        # would seem fast (a file against itself: 2.9 at a load of 8).
        for label in (*labels, *reversed(labels)):
            times[label] += _seconds(interpreters[label], runs[label])
        for label, seconds in times.items():
            ratios[label].append(seconds / times[reference])
    return {label: statistics.median(values) for label, values in ratios.items()}


def many_latency_ratios(
    names: Sequence[str], read: Callable[[str], bytes], *, reference: bytes
) -> Iterator[tuple[list[str], float]]:
    """Ratios of any number of files, a few at a time; equal files are measured once.

    Args:
        names: of the files.
        read: name -> content; called again when it is needed.
        reference: content of the file that has ratio 1.

    Yields:
        Names of equal files, and the median of several measurements of them.
    """
    same: dict[bytes, list[str]] = {}
    for name in names:
        same.setdefault(_digest(read(name)), []).append(name)
    known = same.pop(_digest(reference), [])
    if known:
        yield known, 1.0
    groups = list(same.values())
    parts = math.ceil(len(groups) / _AT_A_TIME)
    for part in (groups[i::parts] for i in range(parts)):
        ratios = _repeated({group[0]: read(group[0]) for group in part}, reference)
        yield from ((group, ratios[group[0]]) for group in part)


def _repeated(files: Mapping[str, bytes], reference: bytes) -> dict[str, float]:
    order = ["", *files]
    found: dict[str, list[float]] = {name: [] for name in order}
    for _ in range(_REPEATS):
        for name, ratio in latency_ratios({n: files.get(n, reference) for n in order}, reference="").items():
            found[name].append(ratio)
        order = order[1:] + order[:1]
    return {name: statistics.median(ratios) for name, ratios in found.items()}


def _digest(content: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=16).digest()


def _seconds(interpreter: Any, runs: int) -> float:
    start = time.perf_counter()
    for _ in range(runs):
        interpreter.invoke()
    return (time.perf_counter() - start) / runs
