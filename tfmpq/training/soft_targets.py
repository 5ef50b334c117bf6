"""How far a network's outputs are from those of its teacher, as a loss."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, get_args

import keras
import tensorflow as tf

from converters.errors import ModelError, OptionError
from converters.printable import shown

Outputs = Literal["probabilities", "logits", "values"]
_LEAST = 1e-8  # probability; float32 softmax ends there


def check_outputs_kind(kind: object) -> None:
    """Raises an :class:`OptionError` for what is no kind of outputs."""
    if kind is not None and (not isinstance(kind, str) or kind not in get_args(Outputs)):
        raise OptionError(f"outputs={shown(kind)}: give 'probabilities', 'logits', 'values' or None.")


def ends_in_softmax(model: Any) -> bool:
    """Whether a Keras model has one output, and that is what a softmax gives."""
    if len(model.outputs) != 1:
        return False
    last = model.outputs[0]._keras_history.operation
    while isinstance(last, keras.Model) and len(last.outputs) == 1:
        last = last.outputs[0]._keras_history.operation
    while isinstance(last, keras.layers.Wrapper):
        last = last.layer
    softmax = isinstance(last, keras.layers.Softmax) and last.axis in (-1, len(model.outputs[0].shape) - 1)
    return softmax or getattr(last, "activation", None) is keras.activations.softmax


def check_pair(student: Any, teacher: Any, caller: str) -> None:
    """Checks that two models have inputs and outputs of the same shapes.

    Raises:
        ModelError: They have not.
    """
    for what in ("inputs", "outputs"):
        own, others = ([tuple(t.shape[1:]) for t in getattr(m, what)] for m in (student, teacher))
        if own != others:
            raise ModelError(
                f"{caller}: model '{student.name}' has {what} of shapes {_said(own)}, and its teacher '{teacher.name}' "
                f"{_said(others)}. The teacher must be the float model, or one that takes and gives the same."
            )


def soft_loss(targets: Sequence[Any], outputs: Sequence[Any], kind: Outputs, temperature: float) -> Any:
    """``T^2 KL(teacher_T || student_T)`` of class scores, mean over the batch and positions.

    Source: Hinton et al., 2015, section 2: scores are divided by T before the softmax, and T^2 keeps gradients as large
    as they are with T = 1. Logarithms of probabilities serve as scores. Of ``"values"`` it is the mean squared
    difference, in units of the mean square of the targets, whatever T.

    Args:
        targets: outputs of the teacher, float (N, ..., classes).
        outputs: of the student.
        kind: what they are.
        temperature: T > 0.
    """
    losses = [_one(target, output, kind, temperature) for target, output in zip(targets, outputs, strict=True)]
    return tf.add_n(losses) / float(len(losses))


def _one(target: Any, output: Any, kind: Outputs, temperature: float) -> Any:
    target, output = tf.cast(target, tf.float32), tf.cast(output, tf.float32)
    if kind == "values":
        return tf.reduce_mean((output - target) ** 2) / (tf.reduce_mean(target**2) + _LEAST)
    if kind == "probabilities":
        target, output = (tf.math.log(tf.maximum(scores, _LEAST)) for scores in (target, output))
    wanted: Any = tf.nn.log_softmax(target / temperature)
    found: Any = tf.nn.log_softmax(output / temperature)
    return temperature**2 * tf.reduce_mean(tf.reduce_sum(tf.exp(wanted) * (wanted - found), axis=-1))


def _said(shapes: list[tuple[Any, ...]]) -> str:
    return ", ".join(map(str, shapes))
