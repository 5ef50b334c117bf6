"""The int8 file of a float model that was rewritten."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice

import numpy as np

from converters.frontend.float_model import FloatModel
from converters.frontend.tf_converter import int8_twin
from converters.tflite.file import File
from converters.tflite.writer import save
from tfmpq.activations.subject import Case, Subject


def float_model_of(subject: Subject, case: Case) -> FloatModel:
    """The rewritten model as a file."""
    if subject.model is case.model:
        return case.float_model
    return replace(case.float_model, flatbuffer=save(subject.model), public_int8=None, trace=None)


def base_of(subject: Subject, case: Case) -> File:
    """Quantizes the rewritten model; stock's file where nothing was done.

    Args:
        subject: where it has measured ranges, samples need not be run again.
        case: the conversion.

    Raises:
        ConversionError: As :func:`converters.frontend.tf_converter.int8_twin`.
    """
    if subject.model is case.model and not (subject.ranges or subject.float_tail or subject.float_outputs):
        return case.stock
    known = subject.measured is not None
    content = int8_twin(
        float_model_of(subject, case),
        (lambda: one_sample(case)) if known else case.data.whole.originals,
        io_dtype=case.options.io_dtype,
        ranges={**(subject.measured or {}), **subject.ranges},
        float_tail=subject.float_tail,
        float_outputs=subject.float_outputs,
    )
    return File.parse(content)


def one_sample(case: Case) -> Iterator[dict[str, np.ndarray]]:
    """The first of the samples."""
    return islice(case.data.whole.originals(), 1)
