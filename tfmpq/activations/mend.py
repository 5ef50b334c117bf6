"""The float model, rewritten so that int8 activations lose less of it, and its int8 twin."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from converters.errors import ConversionError, MissingDependencyError, ModelError
from converters.frontend.first_run import check_int8
from converters.runtime.memory import release_memory
from converters.tflite.file import File
from converters.tflite.reader import load
from converters.tflite.writer import save
from tfmpq.activations.base import base_of
from tfmpq.activations.equalization.cross_layer import equalize_layers
from tfmpq.activations.equalization.equalize import equalize
from tfmpq.activations.masks.constants import mend_masks
from tfmpq.activations.masks.inputs import mend_input_masks
from tfmpq.activations.outputs.mend_outputs import mend_outputs
from tfmpq.activations.products.right_sides import mend_right_sides
from tfmpq.activations.ranges.by_hand import set_ranges
from tfmpq.activations.ranges.choose import choose_ranges
from tfmpq.activations.ranges.joins import note_joins
from tfmpq.activations.ranges.overwritten import mend_overwritten
from tfmpq.activations.ranges.saturation import mend_saturation
from tfmpq.activations.ranges.trained import take_trained
from tfmpq.activations.recurrent.states import mend_states
from tfmpq.activations.subject import Case, Subject
from tfmpq.activations.two_points.hold import hold_two_points
from tfmpq.suspicion.suspicion import Suspicion

Step = Callable[[Subject, Case], Subject]
_STEPS: tuple[Step, ...] = (
    mend_masks,
    mend_input_masks,
    mend_outputs,
    mend_saturation,
    hold_two_points,
    equalize,
    equalize_layers,
    mend_overwritten,
    choose_ranges,
    mend_right_sides,
    take_trained,
    set_ranges,
    mend_states,
    note_joins,
)  # in this order
_ASKED = ("symmetric", "two points")


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
        The user's model and its stock file where nothing is gained, this TensorFlow quantizes no rewritten model, or no
        runtime loads the int8 file of it.

    Raises:
        ModelError: The int8 file does not run, and options or rules ask for a part of what was done.
    """
    try:
        mended = _mended(case)
        if mended.base is not case.stock:
            what = f"{case.float_model.source}: the int8 file of it with other ranges and channels"
            check_int8(mended.base, case.data.held_out[0], what)
    except MissingDependencyError as error:  # stock came from TensorFlow's public converter, which takes no file
        return Activations(Subject(case.model, warnings=[_unmended(error)]), case.stock)
    except ModelError as error:
        if _is_asked_for(case):
            raise
        return Activations(Subject(case.model, warnings=[_unmended(error)]), case.stock)
    return mended


def _is_asked_for(case: Case) -> bool:
    rules = case.recipe.rules
    trained = any(rows.reads for rows in case.rows.values())
    return (
        trained
        or bool(case.options.outputs)
        or any(r.range is not None or r.activations in ("two points", "symmetric") for r in rules)
    )


def _mended(case: Case) -> Activations:
    subject = Subject(case.model)
    for step in _STEPS:
        subject = step(subject, case)
        release_memory()
    base = base_of(subject, case)
    if base is case.stock or subject.model is case.model:
        return Activations(subject, base)
    return Activations(replace(subject, model=load(save(subject.model))), base)


def _unmended(error: ConversionError) -> Suspicion:
    return Suspicion(
        "activations", "not mended", f"Activations are left as TensorFlow's converter quantizes them: {error}"
    )
