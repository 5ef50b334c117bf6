"""The float model, rewritten so that int8 activations lose less of it, and its int8 twin."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from converters.errors import MissingDependencyError
from converters.frontend.tf_converter import int8_twin
from converters.tflite.file import File
from converters.tflite.reader import load
from converters.tflite.writer import save
from tfmpq.activations.subject import Case, Subject
from tfmpq.activations.two_points import finished, hold_two_points
from tfmpq.suspicion.suspicion import Suspicion

Step = Callable[[Subject, Case], Subject]
_STEPS: tuple[Step, ...] = (hold_two_points,)  # in this order


@dataclass(frozen=True, eq=False)
class Activations:
    """What is quantized in place of the user's model.

    Attributes:
        subject: the float model, and what was done to it.
        base: its int8 file.
    """

    subject: Subject
    base: File


def mend_activations(case: Case) -> Activations:
    """Rewrites the float model where int8 activations lose much, and quantizes it.

    Args:
        case: the conversion.

    Returns:
        The user's model and its stock file where nothing is gained, or this TensorFlow quantizes no rewritten model.
    """
    try:
        return _mended(case)
    except MissingDependencyError as error:  # stock came from TensorFlow's public converter, which takes no file
        return Activations(Subject(case.model, warnings=[_unmended(error)]), case.stock)


def _mended(case: Case) -> Activations:
    subject = Subject(case.model)
    for step in _STEPS:
        subject = step(subject, case)
    if subject.model is case.model and not subject.ranges and not subject.float_tail:
        return Activations(subject, case.stock)
    content = save(subject.model)
    written = replace(case.float_model, flatbuffer=content, public_int8=None)
    base = int8_twin(written, case.data.whole.originals, io_dtype=case.options.io_dtype, ranges=subject.ranges)
    return Activations(replace(subject, model=load(content)), finished(base, subject))


def _unmended(error: MissingDependencyError) -> Suspicion:
    return Suspicion(
        "activations", "not mended", f"Activations are left as TensorFlow's converter quantizes them: {error}"
    )
