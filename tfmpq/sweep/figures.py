"""What is measured of one file on labelled samples, beside the outputs of the float file that all rows share."""

from __future__ import annotations

import contextlib
import io
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from converters.errors import DataError
from converters.frontend.float_model import InputSpec
from converters.frontend.unknown_file import open_file
from converters.lowering.expand import expand
from tfmpq.analysis.evaluation import predictions
from tfmpq.cache.digest import digest_of
from tfmpq.comparison.quality import Outputs, outputs_of, quality, quality_in_parts
from tfmpq.data.class_folders import read_class_names
from tfmpq.data.evaluation_set import Labelled
from tfmpq.data.file_inputs import inputs_and_classes
from tfmpq.data.labelled_files import read_labelled
from tfmpq.data.preprocessing import preprocessing_of
from tfmpq.files import write_atomic
from tfmpq.storage import fetched, place, placed
from tfmpq.sweep.bases import BASES

REFERENCES = "reference"  # in the scratch folder
_MOST = 1 << 28  # bytes of outputs that are held and kept; of more only sums, and the float file is run for each row


def figures(spec: Mapping[str, Any], content: bytes, real: bytes, inputs: Sequence[InputSpec]) -> dict[str, Any]:
    """The metrics of a row. Latency is none of them: other jobs run beside this one.

    Args:
        spec: of the row's job.
        content: the file.
        real: the float file.
        inputs: of the float model.

    Raises:
        DataError: The samples do not fit, or have no labels for top-1.
    """
    model, metrics = spec["model"], spec["metrics"]
    data = labelled_of(model, inputs, inputs_and_classes(real)[1])
    if data.labels is None and "top1" in metrics:
        raise DataError(f"'{model['labelled']}' has no labels for top1: save class numbers y too, or leave top1 out.")
    running = runnable(spec["variant"], content)
    if _bytes_of_outputs(real, data) > _MOST:
        found = quality_in_parts(running, real, data)
    else:
        found = quality(outputs_of(running, data), _references(spec, real, data), data.labels)
    noise = [n for n in found.sqnr_db if math.isfinite(n)]
    chosen: dict[str, Any] = {"samples": data.count, "sqnr_db": min(noise, default=None)}
    if "top1" in metrics:
        chosen |= {"top1": found.top1, "top1_error": found.top1_error}
    return chosen | {name: getattr(found, name) for name in ("agreement", "kl") if name in metrics}


def labelled_of(model: Mapping[str, Any], inputs: Sequence[InputSpec], classes: int | None) -> Labelled:
    """The labelled samples of a model.

    Args:
        model: the fields of :class:`tfmpq.sweep.spec.Model`.
        inputs: of its float model.
        classes: that its first output scores.

    Raises:
        DataError: They cannot be read.
    """
    return read_labelled(
        model["labelled"],
        inputs,
        preprocessing=None if model["preprocess"] is None else preprocessing_of(model["preprocess"]),
        names=None if model["classes"] is None else read_class_names(model["classes"]),
        classes=classes,
    )


def runnable(variant: str, content: bytes) -> bytes:
    """The file as it is run: layers that only tfmpq reads are expanded first.

    Args:
        variant: of its row.
        content: the file.
    """
    return content if variant in BASES else expand(content)


def _bytes_of_outputs(real: bytes, data: Labelled) -> int:
    """Of all samples, as those of the first are."""
    return data.count * sum(array.nbytes for array in next(predictions(open_file(real), data)))


def _references(spec: Mapping[str, Any], real: bytes, data: Labelled) -> Outputs:
    """The float file's outputs, computed by the first row that needs them."""
    path = place(spec["scratch"]) / REFERENCES / f"{digest_of(spec['samples'], real)}.npz"
    with contextlib.suppress(FileNotFoundError), fetched(path) as local, np.load(local) as kept:
        return [kept[f"arr_{number}"] for number in range(len(kept.files))]
    outputs = outputs_of(real, data)
    stream = io.BytesIO()
    np.savez(stream, *outputs)
    with placed(path) as local:
        write_atomic(local, stream.getvalue())
    return outputs
