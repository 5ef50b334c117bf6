"""A .tflite file beside another one, a former release say: run, timed, weighed and judged.

Needs NumPy and one TensorFlow Lite interpreter. Of every sample no more than a few numbers are kept.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import replace
from typing import get_args

from converters.errors import DataError, OptionError
from converters.frontend.unknown_file import open_file
from converters.printable import shown
from converters.runtime import interpreter as runtime
from converters.runtime.content import read_content
from converters.runtime.interpreter import Delegate, Kernels
from tfmpq.analysis.evaluation import Model
from tfmpq.analysis.metrics import TOP1, Metric, SampleMetric, find_metric
from tfmpq.data.evaluation_set import Labelled
from tfmpq.gate.figures import Conditions, latency, sample_figures
from tfmpq.gate.judge import judge
from tfmpq.gate.limits import Limits
from tfmpq.gate.measured import Measured
from tfmpq.gate.result import CheckedFile, CheckResult


def check(
    file: Model,
    against: Model,
    data: Labelled | None,
    limits: Limits,
    *,
    runs: Model | None = None,
    metric: str | SampleMetric = TOP1,
    kernels: Kernels = "xnnpack",
    threads: int = 1,
    rounds: int = 25,
    seed: int = 0,
    signature: str | None = None,
    progress: bool = False,
) -> CheckResult:
    """Whether a file keeps its limits beside a base, as far as the samples tell.

    Both files run on the same samples. A limit is held if the one-sided 95 % confidence interval of its figure ends
    within it, failed if it begins beyond it, and cannot be told otherwise; then the judgement says about how many
    samples would tell. Where samples are drawn anew (``max_kl``, ``max_drop`` of other metrics than top-1) that is
    confidence about samples like those seen: kinds rarer than 3 in all of them may be missing, whatever they would do.

    Args:
        file: content or path of the .tflite file to release.
        against: of the base: stock int8, float, or a former release.
        data: samples and labels, as for :func:`tfmpq.evaluate`; None: no limit needs them. Without labels
            ``min_agreement`` and ``max_kl`` can be told.
        limits: what must hold.
        runs: what is run in the place of ``file``, whose bytes count: the expansion of a compact file. None: itself.
        metric: the score of ``max_drop``, as for :func:`tfmpq.evaluate`. Of functions higher is better. "cosine" is
            that to the base's outputs: a drop from 1.
        kernels: that run the files.
        threads: CPU threads.
        rounds: of the time measurement; see :func:`tfmpq.benchmark.benchmark`.
        seed: of bootstrap samples, and of the inputs and the order when time is measured.
        signature: which one to run, of files with several; None: that of the main graph.
        progress: show progress bars on stderr.

    Raises:
        DataError: The data do not fit the files or the metric, or a limit needs labels and there are none.
        FileFormatError: A file cannot be read, run or timed.
        OptionError: No limit is set, there is no such metric, or a file has no such signature.
    """
    _check_request(data, limits, find_metric(metric), kernels, seed)
    conditions = Conditions(kernels, threads, rounds, seed, signature, progress)
    checked, base = _described(file), _described(against)
    running = file if runs is None else runs
    if not limits.need_samples:  # which run both: what is no model has no size to hold either
        for model in (running, against):
            open_file(model, kernels=kernels, threads=threads)
    measured, notes = Measured(bytes=checked.bytes, base_bytes=base.bytes), ()
    if limits.need_samples and data is not None:
        measured = replace(measured, **sample_figures(running, against, data, metric, conditions))
    if limits.max_latency_ratio is not None:
        time, notes = latency(running, against, conditions)
        measured = replace(measured, latency=time)
    return CheckResult(
        file=checked,
        against=base,
        judgements=judge(measured, limits),
        measured=measured,
        metric=metric if isinstance(metric, str) else str(getattr(metric, "__name__", type(metric).__name__)),
        kernels=kernels,
        threads=threads,
        runtime=runtime.runtime_name(),
        seed=seed,
        notes=notes,
    )


def _check_request(data: Labelled | None, limits: Limits, metric: Metric | None, kernels: Kernels, seed: int) -> None:
    """What can be wrong before a file is run."""
    if not isinstance(limits, Limits) or not limits.asked():
        raise OptionError(f"no limit is set: give at least one of {', '.join(Limits.__dataclass_fields__)}")
    if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
        raise OptionError(f"seed={shown(seed)}: give a whole number, 0 or more")
    if data is not None and not isinstance(data, Labelled):
        raise DataError(f"{shown(data)} is no tfmpq.Labelled with an array for each input")
    if limits.need_samples and data is None:
        raise OptionError("max_drop, min_agreement and max_kl are judged on samples: give data")
    if limits.max_latency_ratio is not None and kernels not in get_args(Delegate):
        raise OptionError(f"max_latency_ratio is about {' or '.join(get_args(Delegate))} kernels, not {shown(kernels)}")
    labels_missing = data is not None and data.labels is None and (metric is None or metric.perfect is None)
    if limits.max_drop is not None and labels_missing:
        raise DataError(
            "max_drop needs labels 'y', and the data have none: save them beside the samples, "
            "np.savez(path, x=..., y=...), or set min_agreement or max_kl"
        )


def _described(model: Model) -> CheckedFile:
    content, label = read_content(model)
    path = label if isinstance(model, (bytes, bytearray, memoryview)) else os.fspath(model)
    return CheckedFile(path, len(content), hashlib.sha256(content).hexdigest())
