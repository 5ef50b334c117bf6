"""The figures of a file beside its base: on samples, and in time."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from converters.errors import FileFormatError
from converters.runtime.interpreter import Kernels
from tfmpq.analysis.evaluation import Model, evaluate_samples
from tfmpq.analysis.metrics import SampleMetric, Tally
from tfmpq.analysis.sample_sums import SampleFigures
from tfmpq.benchmark.run import benchmark
from tfmpq.data.evaluation_set import Labelled
from tfmpq.gate.bootstrap import bootstrap
from tfmpq.gate.measured import Estimate, Latency


@dataclass(frozen=True)
class Conditions:
    """How files are run: see :func:`tfmpq.gate.check.check`."""

    kernels: Kernels
    threads: int
    rounds: int
    seed: int
    signature: str | None
    progress: bool


def sample_figures(
    file: Model, against: Model, data: Labelled, metric: str | SampleMetric, conditions: Conditions
) -> dict[str, Any]:
    """Those of :class:`Measured` that samples give, by name.

    Raises:
        DataError: The data do not fit the files or the metric.
        FileFormatError: A file cannot be read or run.
        OptionError: A file has no such signature.
    """
    evaluation, samples = evaluate_samples(
        file,
        data,
        against=against,
        metric=metric,
        kernels=conditions.kernels,
        threads=conditions.threads,
        progress=conditions.progress,
        signature=conditions.signature,
    )
    other = evaluation.against
    assert other is not None  # there is a second file
    same = other.largest_difference == 0
    return {
        "samples": evaluation.count,
        "lost": other.lost,
        "gained": other.gained,
        "agreeing": None if other.agreement is None else round(other.agreement * evaluation.count),
        "drop": _drop(samples, conditions.seed, same=same),
        "kl": _divergence(samples, conditions.seed, same=same),
    }


def _drop(samples: SampleFigures, seed: int, *, same: bool) -> Estimate | None:
    """How much the metric falls, or rises where lower is better; None: it is top-1, or the base has no score."""
    ours, theirs = samples.ours, samples.theirs
    if ours is None or (theirs is None and ours.metric.perfect is None):
        return None
    sign = 1.0 if ours.metric.lower_is_better else -1.0
    columns = [ours.values, ours.weights]
    if theirs is not None:
        columns += [theirs.values, theirs.weights]

    def drop(sums: np.ndarray) -> np.ndarray:
        base = ours.metric.perfect if theirs is None else _scores(theirs, sums[..., 2:])
        return sign * (_scores(ours, sums[..., :2]) - base)

    return bootstrap(np.array(columns).T, drop, seed=seed, same=same)


def _scores(tally: Tally, sums: np.ndarray) -> np.ndarray:
    return np.vectorize(tally.scaled, otypes=[float])(sums[..., 0] / sums[..., 1])


def _divergence(samples: SampleFigures, seed: int, *, same: bool) -> Estimate | None:
    values = samples.divergences
    if values is None:
        return None
    columns = np.stack([values, np.ones(len(values))], 1)
    return bootstrap(columns, lambda sums: sums[..., 0] / sums[..., 1], seed=seed, same=same)


def latency(file: Model, against: Model, conditions: Conditions) -> tuple[Latency, tuple[str, ...]]:
    """Time beside the base's, and what makes it doubtful.

    Raises:
        FileFormatError: One of the files cannot be timed.
        OptionError: A file has no such signature.
    """
    with tempfile.TemporaryDirectory(prefix="tfmpq-") as folder:
        paths = [_path(model, Path(folder, name)) for model, name in ((against, "base.tflite"), (file, "file.tflite"))]
        result = benchmark(
            paths,
            threads=(conditions.threads,),
            delegates=("builtin" if conditions.kernels == "builtin" else "xnnpack",),
            rounds=conditions.rounds,
            signature=conditions.signature,
            seed=conditions.seed,
            progress=conditions.progress,
        )
    run = result.runs[1]
    if result.failed or run.ratio is None:
        raise FileFormatError("; ".join(result.failures()) or "there are no times to compare: give more rounds")
    # Beside one file there is always its pair of processes.
    noise = (result.noise.percent or 0.0) / 100
    return Latency(run.ratio, run.ratio_low, run.ratio_high, noise), result.noise.warnings


def _path(model: Model, place: Path) -> str:
    """A path of the model, whose content is written there if it has none."""
    if isinstance(model, (bytes, bytearray, memoryview)):
        place.write_bytes(model)
        return str(place)
    return os.fspath(model)
