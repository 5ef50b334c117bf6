"""The int8 file of a float model that was rewritten."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from itertools import islice

import numpy as np

from converters.errors import FileFormatError
from converters.frontend.float_model import FloatModel
from converters.frontend.scale_owners import scale_owners
from converters.frontend.tf_converter import int8_twin, measured_twin
from converters.rewriting.idle_ops import without_idle_ops
from converters.rewriting.requantized import with_requantized
from converters.runtime.child_process import refusals
from converters.tflite.file import File
from converters.tflite.graph import Model
from converters.tflite.writer import save
from tfmpq.activations.subject import Case, Subject
from tfmpq.activations.values.excerpts import read_ranges


def float_model_of(subject: Subject, case: Case) -> FloatModel:
    """The rewritten model as a file."""
    if subject.model is case.model:
        return case.float_model
    return replace(case.float_model, flatbuffer=save(subject.model), public_int8=None, trace=None)


def with_measured(subject: Subject, case: Case) -> Subject:
    """The subject with the ranges of all activations, if it has none yet.

    Those of a rewritten model are read from its own values where its activations are the ones that TensorFlow's
    calibrator told ranges of: that takes a fraction of the calibrator's time, and finds no value overwritten.

    Raises:
        ConversionError: As :func:`converters.frontend.tf_converter.measured_twin`.
    """
    if subject.measured is not None:
        return subject
    if subject.model is case.model and case.measured is not None:
        return replace(subject, measured=case.measured)
    names = _same_activations(subject.model, case)
    if names:
        with suppress(FileFormatError):  # the calibrator may run it all the same
            own = read_ranges(subject.model, names, case.data.whole.originals)
            return replace(subject, measured=own, exact=True)
    _, measured = measured_twin(float_model_of(subject, case), case.data.whole.originals)
    return replace(subject, measured=measured, exact=False)


def _same_activations(model: Model, case: Case) -> list[str]:
    """Names of all activations that have ranges, where they are those of the user's model and told apart; else none."""
    names, known = (
        sorted(t.name for t in (*m.graph.inputs, *(t for op in m.graph.ops for t in op.outputs)))
        for m in (model, case.model)
    )
    measured = list(case.measured or ())
    apart = names == known and len(set(names)) == len(names)
    return measured if apart and set(names).issuperset(measured) else []


def with_owners(subject: Subject, case: Case) -> Subject:
    """The subject with what TensorFlow's quantizer gives one scale, if it was not asked yet; measured, for that.

    Raises:
        ConversionError: As :func:`converters.frontend.scale_owners.scale_owners`.
    """
    if subject.owners is not None:
        return subject
    subject = with_measured(subject, case)
    names = subject.measured or {}
    owners = scale_owners(float_model_of(subject, case), lambda: one_sample(case), names) if names else {}
    return replace(subject, owners=owners)


def base_of(subject: Subject, case: Case) -> File:
    """Quantizes the rewritten model; stock's file where nothing was done.

    Args:
        subject: where it has measured ranges, samples need not be run again.
        case: the conversion.

    Raises:
        ConversionError: As :func:`converters.frontend.tf_converter.int8_twin`.
    """
    as_stock = subject.measured is None or subject.measured is case.measured
    changed = subject.ranges or subject.requantized or subject.float_tail or subject.float_outputs
    if subject.model is case.model and as_stock and not changed:
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
    return _finished(content, subject)


def _finished(base: bytes, subject: Subject) -> File:
    """With inputs at scales of their own; without the clips of activations held as two tensors, which int8 does."""
    file = File.parse(base)
    if subject.requantized:
        file = File.parse(save(with_requantized(file.model, subject.model.graph, subject.requantized)))
    if all(entry.kind != "two points" for entry in subject.mended):
        return file
    return File.parse(save(without_idle_ops(file.model)))


def runs(content: bytes, case: Case) -> bool:
    """Whether an int8 file runs; tried in a process of its own, as kernels may abort on scales that they cannot handle.

    Args:
        content: a file that is to be tried on samples.
        case: the conversion; its stock file is known to run.
    """
    return content == case.stock.content or not refusals(content, case.data.held_out[0], ["xnnpack"])


def one_sample(case: Case) -> Iterator[dict[str, np.ndarray]]:
    """The first of the samples."""
    return islice(case.data.whole.originals(), 1)
