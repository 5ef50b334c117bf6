"""Latency of files relative to one of them, measured in turns so that load and clock changes meet all of them."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from converters.runtime import interpreter as runtime

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
    for _ in range(_ROUNDS):
        times = dict.fromkeys(files, 0.0)
        # There and back again: a busy machine lets a process run undisturbed at first, and who always came first then
        # would seem fast (a file against itself: 2.9 at a load of 8).
        for label in (*files, *reversed(files)):
            times[label] += _seconds(interpreters[label], runs[label])
        for label, seconds in times.items():
            ratios[label].append(seconds / times[reference])
    return {label: statistics.median(values) for label, values in ratios.items()}


def _seconds(interpreter: Any, runs: int) -> float:
    start = time.perf_counter()
    for _ in range(runs):
        interpreter.invoke()
    return (time.perf_counter() - start) / runs
