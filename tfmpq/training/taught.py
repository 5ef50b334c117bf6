"""`tfmpq.training.with_teacher`: quantized distillation as an ordinary `fit`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from converters.errors import DataError, OptionError
from converters.printable import shown
from tfmpq.keras.checks import check_model
from tfmpq.training.data_watch import DataWatch
from tfmpq.training.output_kinds import Outputs, kinds_of
from tfmpq.training.soft_targets import check_pair, soft_loss

_CALLER = "tfmpq.training.with_teacher"


def with_teacher(
    student: Any,
    teacher: Any,
    *,
    temperature: float = 2.0,
    share: float = 0.7,
    outputs: Outputs | Sequence[Outputs] | None = None,
) -> Any:
    """A model whose ``fit`` trains a student by its teacher's outputs beside the labels.

    Source: Polino, Pascanu, Alistarh, "Model compression via distillation and quantization", ICLR 2018, section 3: the
    loss is ``share T^2 KL(teacher_T || student_T) + (1 - share) L``, where L is the loss that the model is compiled
    with, cross-entropy in the paper. The paper's own quantizer has a scale and an offset for every 256 weights; here
    the student is any model of this package, whose rows are points. For its stochastic rounding give the student's
    method ``rounding="stochastic"``.

    Compile and fit the result, with the callbacks of the student's method; then convert the student::

        student = tfmpq.training.lg_lsq(model, images)
        both = tfmpq.training.with_teacher(student, model)
        both.compile("adam", "sparse_categorical_crossentropy")
        both.fit(images, labels, epochs=10, callbacks=tfmpq.training.callbacks(student))
        tfmpq.convert(student, images)

    Args:
        student: what a method of this package returned; it is trained itself. ``save`` it, not the result.
        teacher: float Keras 3 model with inputs and outputs of the same shapes; not changed.
        temperature: T.
        share: of the teacher in the loss, 0..1; with 1 no labels are needed.
        outputs: what the teacher's outputs are: ``"probabilities"`` or ``"logits"`` of classes (after and before a
            softmax), ``"binary"`` or ``"binary_logits"`` (yes or no, unit by unit, after and before a sigmoid), or
            ``"values"``, which the squared error judges (see :func:`tfmpq.training.soft_targets.soft_loss`); or a list
            with one for each output. None: as each output ends; a linear end may be anything and is refused.

    Raises:
        OptionError: A value is out of range, or it cannot be seen what an output is.
        ModelError: Not Keras 3 models, or they do not fit one another.
    """
    check_model(student, _CALLER)
    check_model(teacher, _CALLER)
    check_pair(student, teacher, _CALLER)
    check_share("share", share)
    check_positive("temperature", temperature)
    kinds = kinds_of(teacher, outputs, _CALLER)
    return Taught(student, teacher, temperature=float(temperature), share=float(share), outputs=kinds)


class Taught(keras.Model):
    """A student and its teacher, see :func:`with_teacher`.

    Attributes:
        student: what is trained.
        frozen: whether the student is trained as it is in inference: normalizations keep their statistics, nothing is
            dropped, and rounding is to the nearest.
        data_watch: what looks at the data of ``fit``.
    """

    def __init__(
        self,
        student: Any,
        teacher: Any,
        *,
        temperature: float,
        share: float,
        outputs: Sequence[Outputs],
        frozen: bool = False,
    ) -> None:
        super().__init__(name=f"{student.name}_taught")
        self.student = student
        self.frozen = frozen
        # Untracked: neither trained nor saved.
        self._teacher = lambda inputs: teacher(packed(teacher, inputs), training=False)
        self._temperature, self._share = temperature, share
        self._kinds = tuple(outputs)
        self.data_watch = DataWatch()

    def build(self, input_shape: Any = None) -> None:
        """Nothing: both models are built."""
        self.built = True

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """The student's outputs."""
        return self.student(packed(self.student, inputs), training=bool(training) and not self.frozen)

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Any:
        """The loss, see :func:`with_teacher`; sample weights count for the labels' part.

        Raises:
            DataError: Labels are missing.
        """
        if training:
            self.data_watch.see(x, y)
        soft = self.soft_loss(x, y_pred)
        if self._share == 1:
            # Penalties of weights are for a training that goes on; what is only refined is to come near the teacher.
            return soft if self.frozen else tf.add_n([soft, *self.losses])
        if y is None:
            raise DataError(
                f"fit got no labels, but the loss has a share of {1 - self._share:g} for them. Give labels, or "
                "share=1 to with_teacher."
            )
        hard: Any = super().compute_loss(x, y, y_pred, sample_weight, training)
        return self._share * soft + (1 - self._share) * hard

    def soft_loss(self, x: Any, y_pred: Any) -> Any:
        """How far the student's outputs are from the teacher's."""
        targets, outputs = keras.tree.flatten(self._teacher(x)), keras.tree.flatten(y_pred)
        return soft_loss([tf.stop_gradient(t) for t in targets], outputs, self._kinds, self._temperature)


def packed(model: Any, inputs: Any) -> Any:
    """The inputs in the model's own structure: datasets make tuples of lists."""
    flat = keras.tree.flatten(inputs)
    return flat[0] if len(flat) == 1 else keras.tree.pack_sequence_as(model.input, flat)


def check_share(name: str, value: object) -> None:
    """Raises an :class:`OptionError` unless ``value`` is a number from 0 to 1."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1:
        raise OptionError(f"{name}={shown(value)} is out of range; give a number from 0 to 1.")


def check_positive(name: str, value: object) -> None:
    """Raises an :class:`OptionError` unless ``value`` is a finite number above 0."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value) or value <= 0:
        raise OptionError(f"{name}={shown(value)} is out of range; give a number above 0.")
