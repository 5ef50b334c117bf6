"""`tfmpq.training.distill`: a post-training plan, refined without labels."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np

from converters.errors import DataWarning, ModelError
from tfmpq.keras.checks import check_model
from tfmpq.keras_marks import is_annotated_or_simulated
from tfmpq.training.images import Crops, Inputs, hold_back, read_inputs, training_batches
from tfmpq.training.output_kinds import Outputs, check_outputs_kind, kinds_of
from tfmpq.training.planned import GivenPlan, planned_layers
from tfmpq.training.planned_student import settle, student_of, units_of
from tfmpq.training.row_adam import RowAdam
from tfmpq.training.start import check_whole
from tfmpq.training.taught import Taught, check_positive

ENOUGH = 1000  # images; of 200 a small MobileNetV1 learned 8 % at best, and then those images by heart
_CALLER = "tfmpq.training.distill"
_CALIBRATION = 128  # images for moments and ranges, as conversion takes


@dataclass(frozen=True, eq=False)
class Distilled:
    """A refined plan.

    Attributes:
        model: simulated Keras model, for :func:`tfmpq.convert`; it may be saved, and trained further.
        before, after: loss on the held-back images of the simulation of the plan as it was given, and of ``model``; for
            class probabilities the mean KL divergence from the float model, in nats. The file that the plan came with
            may differ from either: it has int8 outputs and sums, and what ``equalize`` or ``effort`` changed.
        epoch: the epoch whose weights ``model`` has; 0: none was better than what was given.
        losses: on the held-back images after each epoch.
        held_back: how many images that is.
        notes: what could not be kept of the plan.
    """

    model: Any = field(repr=False)
    before: float
    after: float
    epoch: int
    losses: tuple[float, ...]
    held_back: int
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        given = "as given: no epoch was better; a smaller learning_rate or more images may help"
        made = f"epoch {self.epoch} of {len(self.losses)}" if self.epoch else given
        losses = f"loss {self.before:.4g} -> {self.after:.4g} on {self.held_back} held-back images ({made})"
        return f"{losses}; both of the simulation in Keras, not of the file"


def distill(
    model: Any,
    images: object,
    plan: GivenPlan | None = None,
    *,
    epochs: int = 6,
    batch_size: int = 16,
    learning_rate: float = 0.002,
    crop: float = 1.0,
    flip: bool = False,
    outputs: Outputs | Sequence[Outputs] | None = None,
    seed: int = 0,
    progress: bool = True,
) -> Distilled:
    """Refines a post-training plan against the float model; no labels are needed.

    Bits and points of every row stay. Its integers, scales and biases are trained so that the outputs come closer to
    the float model's: float weights in units of their grid's step are rounded straight through, and Adam moves them by
    ``learning_rate`` steps at most, falling to 0 along a cosine; the gain comes while it falls. Rows of two points stay
    integers of one grid that is cut into digits. Normalizations keep their statistics.

    Every eighth image is held back. The weights of the epoch that is best on these are kept, or those of the plan
    where none is better::

        result = tfmpq.convert(model, images)
        refined = tfmpq.training.distill(model, images, result)
        tfmpq.convert(refined.model, images).save("model.tflite")

    Integers start from what :func:`tfmpq.convert` chooses for these bits and points with ``algorithm="radix"``, on up
    to 128 of the images and with ``equalize="off"``: the simulation has the model's own channels. Bits and points are
    what is converted; give :func:`tfmpq.convert` the options for forms (``lowering``, ``target``) again.

    Args:
        model: built Sequential or functional Keras 3 model, float; not changed.
        images: inputs in every form that representative data may have, see :func:`tfmpq.convert`. A thousand and more:
            with fewer it warns, as a network learns a few hundred by heart.
        plan: result of :func:`tfmpq.convert` or :func:`tfmpq.prepare` for this model with int8 activations, or its
            ``plan``; None: one by the defaults.
        epochs: passes over the images, 1..1000.
        batch_size: images a step.
        learning_rate: steps of the grid that a weight moves at most in one step of training.
        crop: smallest share of height and width that a random crop of an image shows, resized back; 1: whole images.
        flip: whether images are mirrored with probability 1/2. Neither is for held-back images.
        outputs: as for :func:`tfmpq.training.with_teacher`: the loss is the KL divergence, of ``"values"`` the squared
            error in units of the outputs' mean square. None: as each output ends, and values where that is linear.
        seed: of the order of images, and of crops.
        progress: show Keras's progress bar, and conversion's on stderr.

    Raises:
        OptionError: A value is out of range, or the plan is of another model.
        DataError: No images, or such as do not fit the model.
        ModelError: The model is annotated or simulated already, has no layer to distill, or gives outputs that are not
            finite.
        ConversionError: As for :func:`tfmpq.convert`.
    """
    check_whole("epochs", epochs, 1, 1000)
    check_whole("batch_size", batch_size, 1, 65536)
    check_whole("seed", seed, 0, 2**31 - 1)
    check_positive("learning_rate", learning_rate)
    check_outputs_kind(outputs)
    check_model(model, _CALLER)
    if is_annotated_or_simulated(model):
        raise ModelError(f"{_CALLER}: model '{model.name}' is annotated or simulated already. Give the float model.")
    kinds = kinds_of(model, outputs, _CALLER, unknown="values")
    inputs, crops = read_inputs(model, images), Crops(crop, flip, seed)
    crops.check(inputs)
    training, held = hold_back(inputs)
    if len(inputs) < ENOUGH:
        warnings.warn(DataWarning(_few(len(inputs))), stacklevel=2)
    samples = training.samples(_CALIBRATION)
    planned, notes = planned_layers(model, samples, plan, progress=progress)
    student = student_of(model, samples, planned)
    both = Taught(student, model, temperature=1.0, share=1.0, outputs=kinds, frozen=True)
    layers = student._flatten_layers()
    flags = [layer.trainable for layer in layers]
    student.trainable = True  # layers that were frozen for fine-tuning are rounded like others
    units = units_of(student, planned)
    others = [v for v in student.trainable_variables if id(v) not in units]
    _set_trainable(others, False)
    try:
        best = _fit(both, training, held, epochs, batch_size, learning_rate, units, crops, progress)
    finally:
        _set_trainable(others, True)
        for layer, flag in zip(layers, flags, strict=True):
            if not flag:
                layer.trainable = False
    settle(student)
    losses = tuple(best.losses)
    return Distilled(student, best.before, best.loss, best.epoch, losses, len(held), tuple(notes))


def _fit(
    both: Any,
    training: Inputs,
    held: Inputs,
    epochs: int,
    batch_size: int,
    learning_rate: float,
    units: dict[int, np.ndarray],
    crops: Crops,
    progress: bool,
) -> _KeepBest:
    size = min(batch_size, len(training))
    steps = len(training) // size
    rate = keras.optimizers.schedules.CosineDecay(learning_rate, epochs * steps)
    both.compile(RowAdam(rate, [units[id(v)] for v in both.trainable_variables]), jit_compile=False)
    judged = held.batches(size)
    before = float(both.evaluate(judged, verbose=0))
    if not math.isfinite(before):
        raise ModelError(
            f"{_CALLER}: the loss is {before} before any training: outputs of model '{both.student.name}' on the "
            "held-back images are not finite. Check the model and its preprocessing."
        )
    best = _KeepBest(before)
    both.fit(
        training_batches(training, size, epochs, crops),
        epochs=epochs,
        steps_per_epoch=steps,
        validation_data=judged,
        shuffle=False,  # batches are shuffled already
        verbose="auto" if progress else 0,
        callbacks=[best],
    )
    return best


class _KeepBest(keras.callbacks.Callback):
    """Keeps the weights of the epoch with the smallest loss on held-back images; stops where the loss is no number."""

    def __init__(self, before: float) -> None:
        super().__init__()
        self.before = self.loss = before
        self.epoch = 0
        self.losses: list[float] = []

    def on_train_begin(self, logs: Any = None) -> None:
        self._keep()

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        if not math.isfinite(float((logs or {}).get("loss", 0.0))):
            model: Any = self.model
            model.stop_training = True

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        loss = float((logs or {})["val_loss"])
        self.losses.append(loss)
        if loss < self.loss:
            self.loss, self.epoch = loss, epoch + 1
            self._keep()

    def on_train_end(self, logs: Any = None) -> None:
        for variable, value in zip(self._variables(), self._best, strict=True):
            variable.assign(value)

    def _keep(self) -> None:
        self._best = [np.asarray(variable).copy() for variable in self._variables()]

    def _variables(self) -> list[Any]:
        model: Any = self.model
        return list(model.student.variables)


def _set_trainable(variables: list[Any], trainable: bool) -> None:
    for variable in variables:
        variable.trainable = trainable


def _few(count: int) -> str:
    return (
        f"{_CALLER}: {count} images are few: networks learn a few hundred by heart, so that little is gained on "
        f"others. Give {ENOUGH} or more; they need no labels."
    )
