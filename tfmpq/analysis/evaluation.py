"""Accuracy of a .tflite file on labelled data, or another metric, and how close its outputs are to a second file's.

Needs NumPy and one TensorFlow Lite interpreter (see :mod:`converters.runtime.interpreter`). Samples are run batch by
batch; nothing but sums is kept. Ties are resolved everywhere as ``argmax`` does: the lower class number goes first.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from typing import Any

import numpy as np

from converters.errors import DataError
from converters.frontend.unknown_file import open_file
from converters.runtime import interpreter as runtime
from converters.runtime.interpreter import Kernels
from converters.runtime.values import IoDetail, dequantize
from tfmpq.analysis.evaluation_result import Comparison, Evaluation
from tfmpq.analysis.metrics import TOP1, Metric, SampleMetric, find_metric, paired_difference
from tfmpq.analysis.sample_sums import Accuracy, Difference, Judged, SampleFigures
from tfmpq.data.evaluation_set import Labelled, check_labelled

Model = bytes | str | os.PathLike[str]


def evaluate(
    model: Model,
    data: Labelled,
    *,
    against: Model | None = None,
    metric: str | SampleMetric = TOP1,
    kernels: Kernels = "xnnpack",
    threads: int = 1,
    progress: bool = False,
    signature: str | None = None,
) -> Evaluation:
    """Runs a file on every sample. Accuracy and agreement are those of the first output, and so are named metrics.

    Args:
        model: content or path of a .tflite file, float or quantized.
        data: samples as the float model takes them (they are quantized for a quantized input), or already of the
            input's own integer type; labels, of a form that the metric takes.
        against: a second file, the reference of the comparison.
        metric: what the samples are judged by:
            "top1": labels are class numbers (samples,); top-1 and, of more than five classes, top-5.
            "cosine": of a sample's output, along its last dimension, and that of ``against``; without it labels are
            the outputs that should come.
            "perplexity": labels are the tokens that come next, integers (samples, length) for outputs (length,
            vocabulary), logits or probabilities; negative ones are left out.
            A function ``(outputs, label) -> float``: its mean over all samples. It gets the real values of all outputs
            of one sample, a tuple of arrays without the batch dimension, and ``labels[i]``, of any type; without
            labels, those outputs of ``against`` instead.
        kernels: see :func:`converters.runtime.interpreter.make_interpreter`.
        threads: CPU threads.
        progress: show a progress bar on stderr.
        signature: which one to run, of files with several; None: that of the main graph.

    Raises:
        DataError: The data do not fit the model or the metric, or the metric gives NaN or infinity.
        FileFormatError: A file cannot be read or run.
        OptionError: There is no such metric, or a file has no such signature.
    """
    return evaluate_samples(
        model,
        data,
        against=against,
        metric=metric,
        kernels=kernels,
        threads=threads,
        progress=progress,
        signature=signature,
    )[0]


def evaluate_samples(
    model: Model,
    data: Labelled,
    *,
    against: Model | None,
    metric: str | SampleMetric,
    kernels: Kernels,
    threads: int,
    progress: bool,
    signature: str | None,
) -> tuple[Evaluation, SampleFigures]:
    """:func:`evaluate`, and what single samples say, for those who draw samples anew."""
    data, chosen = _checked(data, metric, compared=against is not None)
    first = open_file(entry(model, signature), kernels=kernels, threads=threads)
    second = None if against is None else open_file(entry(against, signature), kernels=kernels, threads=threads)
    classes = data.labels if chosen is None else None
    ours, theirs, comparison = Accuracy(classes, data.place), Accuracy(classes, data.place), Difference()
    judged = None if chosen is None else Judged(chosen, data.labels, compared=second is not None)
    for number, (result, reference) in enumerate(_with_progress(_both(first, second, data), data.count, progress)):
        ours.add(number, result[0])
        if reference is not None:
            theirs.add(number, reference[0])
            comparison.add(result, reference)
        if judged:
            judged.add(number, result, reference)
    evaluation = Evaluation(
        count=data.count,
        runtime=runtime.runtime_name(),
        kernels=kernels,
        top1=ours.top1(),
        top1_error=_standard_error(ours.hits) if classes is not None else None,
        top5=ours.top5(),
        against=None if second is None else _compare(ours, theirs, comparison, judged),
        metric=judged.ours.measured() if judged else None,
    )
    figures = SampleFigures(
        divergences=comparison.divergences(),
        ours=judged.ours if judged else None,
        theirs=judged.theirs if judged else None,
    )
    return evaluation, figures


def entry(model: Model, signature: str | None) -> Model:
    """A file whose main graph is that of a signature; None: it is as it is."""
    if signature is None:
        return model
    from converters.frontend.entry_file import entry_first  # loads the schema, which the rest does without

    return entry_first(model, signature)


def judged_chunk(first: Any, second: Any | None, data: Labelled) -> tuple[Accuracy, Accuracy, Difference]:
    """Hits of a file and of a second one, and their difference, on checked data with class numbers or none."""
    ours, theirs = (Accuracy(data.labels, data.place) for _ in range(2))
    comparison = Difference()
    for number, (result, reference) in enumerate(_both(first, second, data)):
        ours.add(number, result[0])
        if reference is not None:
            theirs.add(number, reference[0])
            comparison.add(result, reference)
    return ours, theirs, comparison


def _checked(data: Labelled, metric: str | SampleMetric, *, compared: bool) -> tuple[Labelled, Metric | None]:
    """The data and the metric, which find in them what they need; no metric: top-1."""
    chosen = find_metric(metric)
    data = check_labelled(data, class_labels=chosen is None)
    if data.labels is None and not compared:
        raise DataError("there are neither labels 'y' nor a second file to compare with: give at least one of them")
    if chosen and chosen.needs_labels and data.labels is None:
        raise DataError(f"{chosen.name} needs labels 'y': save them beside the samples, np.savez(path, x=..., y=...)")
    return data, chosen


def _compare(ours: Accuracy, theirs: Accuracy, comparison: Difference, judged: Judged | None) -> Comparison:
    labelled = ours.labels is not None
    other = judged.theirs if judged else None
    metric_difference = paired_difference(judged.ours, other) if judged and other else (None, None)
    differences = [a - b for a, b in zip(ours.hits, theirs.hits, strict=True)]
    divergences = comparison.divergences()
    agree = [a == b for a, b in zip(ours.predicted, theirs.predicted, strict=True)]
    return Comparison(
        top1=theirs.top1(),
        top5=theirs.top5(),
        difference=float(np.mean(differences)) if labelled else None,
        difference_error=_standard_error(differences) if labelled else None,
        agreement=float(np.mean(agree)) if agree else None,
        kl=None if divergences is None else float(divergences.mean()),
        lost=differences.count(-1) if labelled else None,
        gained=differences.count(1) if labelled else None,
        sqnr_db=comparison.sqnr_db(),
        largest_difference=comparison.largest,
        metric=other.measured() if other else None,
        metric_difference=metric_difference[0],
        metric_difference_error=metric_difference[1],
    )


def _standard_error(values: list[int]) -> float:
    """Standard error of the mean; 0 for a single value."""
    return float(np.std(values, ddof=1) / math.sqrt(len(values))) if len(values) > 1 else 0.0


def _both(first: Any, second: Any | None, data: Labelled) -> Iterator[tuple[list[np.ndarray], list[np.ndarray] | None]]:
    """Outputs of each sample in turn, and the second file's if there is one."""
    if second is None:
        yield from ((result, None) for result in predictions(first, data))
        return
    _check_raw_feeds(data, first, second)
    yield from zip(predictions(first, data), predictions(second, data), strict=True)


def predictions(interpreter: Any, data: Labelled) -> Iterator[list[np.ndarray]]:
    """Real-valued outputs of each sample in turn, batch dimension 1."""
    details = runtime.inputs(interpreter)
    arrays = _bind(data, details)
    fixed = {d.shape[0] for d in details if d.shape_signature[0] != -1}
    batch = max(fixed, default=1)
    for start in range(0, data.count, batch):
        rows = np.minimum(np.arange(start, start + batch), data.count - 1)  # the last batch is filled up
        results = runtime.run(interpreter, {name: array[rows] for name, array in arrays.items()})
        # Read after the run: the interpreter learns some output shapes only then.
        real = [dequantize(r, d) for r, d in zip(results, runtime.outputs(interpreter), strict=True)]
        for row in range(min(batch, data.count - start)):
            yield real if batch == 1 else [r[row : row + 1] for r in real]


def _bind(data: Labelled, details: tuple[IoDetail, ...]) -> dict[str, np.ndarray]:
    """Input name -> array, shapes checked."""
    names = [d.name for d in details]
    if len(details) == 1 and len(data.inputs) == 1:
        arrays = dict(zip(names, data.inputs.values(), strict=True))
    elif set(names) <= set(data.inputs):
        arrays = {name: data.inputs[name] for name in names}
    else:
        raise DataError(
            f"the model's inputs are {names}, but the data hold {sorted(data.inputs)}: "
            "save one array for each input under its name ('x' is enough for a single input)"
        )
    for detail in details:
        wanted, given = detail.shape_signature[1:], arrays[detail.name].shape[1:]
        if len(given) != len(wanted) or any(w not in (-1, g) for g, w in zip(given, wanted, strict=True)):
            raise DataError(
                f"samples for input '{detail.name}' have shape {given}, but the model takes {wanted}: "
                "resize or transpose them (images are height, width, channels)"
            )
    return arrays


def _check_raw_feeds(data: Labelled, first: Any, second: Any) -> None:
    """Integers that are passed to one file as they are would mean something else to a file with other scales."""
    for a, b in zip(runtime.inputs(first), runtime.inputs(second), strict=False):
        given = {array.dtype for array in data.inputs.values()}
        raw = any(d.scale and d.dtype in given for d in (a, b))
        if raw and (a.dtype, a.scale, a.zero_point) != (b.dtype, b.scale, b.zero_point):
            raise DataError(
                f"the samples are already quantized integers for input '{a.name}', and the two files quantize it "
                f"differently ({a.dtype} scale {a.scale:g} and {b.dtype} scale {b.scale:g}): give float samples"
            )


def _with_progress(items: Iterator[Any], total: int, progress: bool) -> Iterator[Any]:
    if not progress:
        return items
    from tqdm import tqdm  # not needed to evaluate

    return iter(tqdm(items, desc="evaluate", total=total, unit="sample"))
