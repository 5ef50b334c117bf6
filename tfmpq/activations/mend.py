"""The float model, rewritten so that int8 activations lose less of it, and its int8 twin."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from converters.frontend.tf_converter import int8_twin
from converters.tflite.file import File
from converters.tflite.reader import load
from converters.tflite.writer import save
from tfmpq.activations.equalization import equalize
from tfmpq.activations.outputs import mend_outputs
from tfmpq.activations.subject import Case, Subject

Step = Callable[[Subject, Case], Subject]
_STEPS: tuple[Step, ...] = (mend_outputs, equalize)  # in this order


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
        The user's model and its stock file where nothing is gained.
    """
    subject = Subject(case.model)
    for step in _STEPS:
        subject = step(subject, case)
    if subject.model is case.model and not (subject.ranges or subject.float_tail or subject.float_outputs):
        return Activations(subject, case.stock)
    content = save(subject.model)
    written = replace(case.float_model, flatbuffer=content, public_int8=None)
    base = int8_twin(
        written,
        case.data.whole.originals,
        io_dtype=case.options.io_dtype,
        float_tail=subject.float_tail,
        float_outputs=subject.float_outputs,
    )
    return Activations(replace(subject, model=load(content)), File.parse(base))
