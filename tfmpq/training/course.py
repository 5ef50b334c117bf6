"""A training in the common case, from the float model to the trained one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

import keras
import numpy as np
import tensorflow as tf

from converters.errors import ModelError, OptionError
from converters.points import MAX_BITS, MAX_POINTS, MIN_BITS
from tfmpq.data.evaluation_set import Labelled
from tfmpq.training.callbacks import callbacks
from tfmpq.training.differentiable import differentiable
from tfmpq.training.examples import Examples, error_line
from tfmpq.training.fixed_point import MOST_BITS as MOST_FIXED_BITS
from tfmpq.training.fixed_point_updates import FixedPointUpdates
from tfmpq.training.inq import inq, usual_portions
from tfmpq.training.lg_lsq import lg_lsq
from tfmpq.training.limited_precision import limited_precision
from tfmpq.training.norms import freeze_norms
from tfmpq.training.objective import Objective
from tfmpq.training.powers import MOST_BITS as MOST_POWER_BITS
from tfmpq.training.rounding import Rounding, check_rounding
from tfmpq.training.start import check_activation_bits, check_whole, quantizers_of
from tfmpq.training.taught import check_positive, check_share, packed, with_teacher
from tfmpq.training.ttq import ttq

Norms = Literal["frozen", "trained"]
Method = Literal["lg_lsq", "ttq", "inq", "limited_precision", "differentiable"]
_BATCH = 64  # samples at a time where scores are measured


@dataclass(frozen=True)
class _Kind:
    """A method: how a student is made, which bits it has, and how it is usually trained."""

    make: Callable[[Any, Any, Course], Any]
    bits: int
    lowest: int
    highest: int
    rate: float = 1e-3
    norms: Norms = "frozen"


@dataclass(frozen=True)
class Course:
    """What a training is to be.

    Attributes:
        method: a function of :mod:`tfmpq.training`.
        bits: of weights; None: the method's usual ones.
        integer_bits: of ``limited_precision``, the sign among them.
        points: most points a row, of ``differentiable``; None: its usual ones.
        activation_bits: None: int8 as the data have it.
        rounding: in training; of ``limited_precision`` that of updates.
        norms: whether batch normalizations stay as they are, see :func:`tfmpq.training.freeze_norms`; None: as is
            usual for the method.
        epochs, batch_size, learning_rate: of Adam, see :func:`rate_schedule`; rate None: the method's usual.
        teacher: share of the float model in the loss, beside the labels; 1: no labels are needed.
        temperature: of the teacher.
        xla: whether steps are compiled.
        seed: of everything random.

    Raises:
        OptionError: A value is out of range, or is nothing of this method.
    """

    method: Method
    bits: int | None = None
    integer_bits: int = 1
    points: int | None = None
    activation_bits: int | None = None
    rounding: Rounding | None = None
    norms: Norms | None = None
    epochs: int = 12
    batch_size: int = 32
    learning_rate: float | None = None
    teacher: float = 0.7
    temperature: float = 2.0
    xla: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise OptionError(f"method={self.method!r}: give one of {', '.join(METHODS)}.")
        kind = METHODS[self.method]
        if self.bits not in (None, kind.bits) and kind.lowest == kind.highest:
            raise OptionError(f"{self.method}: bits={self.bits!r}: it has {kind.bits} bits always; leave bits out.")
        if self.bits is not None:
            check_whole(f"{self.method}: bits", self.bits, kind.lowest, kind.highest)
        check_whole("integer_bits", self.integer_bits, 1, self.weight_bits)
        if self.points is not None:
            check_whole("points", self.points, 1, MAX_POINTS)
        check_activation_bits(self.activation_bits)
        if self.rounding is not None:
            check_rounding(self.rounding, self.seed)
        check_whole("epochs", self.epochs, 1, 100_000)
        check_whole("batch_size", self.batch_size, 1, 65536)
        check_whole("seed", self.seed, 0, 2**31 - 1)
        check_positive("learning_rate", self.rate)
        if self.norms is not None and self.norms not in get_args(Norms):
            raise OptionError(f"norms={self.norms!r}: give 'frozen' or 'trained'.")
        check_positive("temperature", self.temperature)
        check_share("teacher", self.teacher)

    @property
    def weight_bits(self) -> int:
        """Bits of weights."""
        return METHODS[self.method].bits if self.bits is None else self.bits

    @property
    def rate(self) -> float:
        """Of Adam at the start."""
        return METHODS[self.method].rate if self.learning_rate is None else self.learning_rate


def _lg_lsq(model: Any, data: Any, course: Course) -> Any:
    return lg_lsq(model, data, bits=course.weight_bits, **_common(course))


def _ttq(model: Any, data: Any, course: Course) -> Any:
    return ttq(model, data, threshold=None, **_common(course))


def _inq(model: Any, data: Any, course: Course) -> Any:
    return inq(model, data, bits=course.weight_bits, per_channel=True, least_error=True, **_common(course))


def _limited_precision(model: Any, data: Any, course: Course) -> Any:
    fraction_bits = course.weight_bits - course.integer_bits
    return limited_precision(
        model,
        data,
        integer_bits=course.integer_bits,
        fraction_bits=fraction_bits,
        activation_bits=course.activation_bits,
    )


def _differentiable(model: Any, data: Any, course: Course) -> Any:
    return differentiable(model, data, bits=course.weight_bits, points=course.points, **_common(course))


def _common(course: Course) -> dict[str, Any]:
    return {
        "activation_bits": course.activation_bits,
        "rounding": course.rounding or "nearest",
        "seed": course.seed,
    }


METHODS: Mapping[str, _Kind] = {
    "lg_lsq": _Kind(_lg_lsq, 4, MIN_BITS, MAX_BITS, 3e-4),  # starts near its end
    # The start is far from the float network: normalizations have to follow.
    "ttq": _Kind(_ttq, 2, 2, 2, norms="trained"),
    # With all weights frozen, normalizations are what is left to be trained.
    "inq": _Kind(_inq, 5, MIN_BITS, MOST_POWER_BITS, norms="trained"),
    "limited_precision": _Kind(_limited_precision, 8, 2, MOST_FIXED_BITS),
    "differentiable": _Kind(_differentiable, 4, MIN_BITS, MAX_BITS),
}


@dataclass(frozen=True, eq=False)
class Trained:
    """A trained model.

    Attributes:
        model: for :func:`tfmpq.convert`.
        before: its score before training; None: its weights were still float then, or there are no held-back samples.
        after: its score after the last epoch; None: there are no held-back samples.
    """

    model: Any
    before: float | None
    after: float | None


def train(
    model: Any, examples: Examples, held: Labelled | None, objective: Objective, course: Course, *, verbose: int
) -> Trained:
    """Trains a copy of a float model to the end; no epoch is chosen by what is held back.

    Args:
        model: built Sequential or functional Keras 3 model, not changed; it is the teacher too.
        examples: what it is trained on.
        held: what it is measured on, labels from :meth:`Objective.checked`; None: nothing.
        objective: what it is trained for.
        course: how.
        verbose: of Keras: 0 nothing, 1 bars, 2 a line an epoch.

    Raises:
        ConversionError: As for the method; or the loss is NaN, or TensorFlow stops.
    """
    keras.utils.set_random_seed(course.seed)
    student = METHODS[course.method].make(model, examples.samples, course)
    rounded = not any(quantizer.unfinished() for quantizer in quantizers_of(student).values())
    before = score_of(student, held, objective) if held is not None and rounded else None
    if (course.norms or METHODS[course.method].norms) == "frozen":
        freeze_norms(student)
    both = student
    if course.teacher > 0:
        both = with_teacher(
            student, model, temperature=course.temperature, share=course.teacher, outputs=objective.kind
        )
    loss = objective.loss() if course.teacher < 1 else None
    both.compile(_optimizer(course, examples.steps), loss, jit_compile=course.xla)
    try:
        both.fit(
            examples.batches(course.epochs).map(lambda inputs, *labels: (packed(model, inputs), *labels)),
            epochs=course.epochs,
            steps_per_epoch=examples.steps,
            shuffle=False,  # the batches are
            verbose=verbose,
            callbacks=callbacks(student),
        )
    except tf.errors.OpError as error:  # out of memory, what a user's dataset raises later than in its first pass
        raise ModelError(f"training stopped: {error_line(error)}") from error
    return Trained(student, before, None if held is None else score_of(student, held, objective))


def score_of(model: Any, data: Labelled, objective: Objective) -> float:
    """The mean of :meth:`Objective.score` over all samples."""
    assert data.labels is not None
    outputs, labels = _outputs(model, data), data.labels
    parts = [objective.score(found, labels[first : first + len(found)]) for first, found in outputs]
    return float(sum(part.sum() for part in parts) / sum(part.size for part in parts))


def predicted(model: Any, data: Labelled, objective: Objective) -> Labelled:
    """The data with what a model predicts as labels."""
    return Labelled(data.inputs, np.concatenate([objective.predicted(found) for _, found in _outputs(model, data)]))


def _outputs(model: Any, data: Labelled) -> Iterator[tuple[int, np.ndarray]]:
    """Outputs of the model's only output, batch by batch, with the number of the first sample."""
    signature = [tf.TensorSpec((None, *tensor.shape[1:]), tensor.dtype) for tensor in model.inputs]
    call = tf.function(lambda *inputs: model(packed(model, list(inputs)), training=False), input_signature=signature)
    for first in range(0, data.count, _BATCH):
        rows = np.arange(first, min(first + _BATCH, data.count))
        arrays = [array[rows] for array in data.inputs.values()]
        inputs = [tf.cast(a, t.dtype) for a, t in zip(arrays, model.inputs, strict=True)]
        yield first, np.asarray(keras.tree.flatten(call(*inputs))[0])


def rate_schedule(method: Method, bits: int, rate: float, steps: int) -> Any:
    """The rate of a training: it falls to 0 along a cosine, with INQ anew after each portion that is frozen.

    Args:
        method, bits: a function of :mod:`tfmpq.training`, and of its weights.
        rate: at the start.
        steps: of all epochs.
    """
    schedules = keras.optimizers.schedules
    if method == "inq":  # what is not frozen yet has to make up for what is: a rate near 0 would not
        return schedules.CosineDecayRestarts(rate, max(steps // len(usual_portions(bits)), 1), t_mul=1.0)
    return schedules.CosineDecay(rate, steps)


def _optimizer(course: Course, steps: int) -> Any:
    adam = keras.optimizers.Adam(rate_schedule(course.method, course.weight_bits, course.rate, course.epochs * steps))
    if course.method != "limited_precision":
        return adam
    fraction_bits = course.weight_bits - course.integer_bits
    rounding = course.rounding or "stochastic"
    return FixedPointUpdates(adam, course.integer_bits, fraction_bits, rounding=rounding, seed=course.seed)
