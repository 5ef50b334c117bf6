"""How far a network's outputs are from those of its teacher, as a loss."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from converters.errors import ModelError
from tfmpq.training.output_kinds import Outputs

_LEAST = 1e-8  # probability of a class; float32 softmax ends there
_NEAR = 1e-7  # of a probability to 0 and 1; float32 has nothing closer to 1 than 6e-8


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


def soft_loss(targets: Sequence[Any], outputs: Sequence[Any], kinds: Sequence[Outputs], temperature: float) -> Any:
    """``T^2 KL(teacher_T || student_T)``, mean over outputs, the batch and positions.

    Source: Hinton et al., 2015, section 2: scores are divided by T before the softmax, and T^2 keeps gradients as large
    as they are with T = 1. Logarithms of probabilities serve as scores. Outputs that are yes or no, unit by unit, are
    Bernoulli variables: the score is the logit, which is divided by T before the sigmoid, and the mean is over units
    too, as in Keras' binary cross-entropy. Of ``"values"`` it is the mean squared difference, in units of the mean
    square of the targets, whatever T.

    Args:
        targets: outputs of the teacher, float (N, ..., units).
        outputs: of the student.
        kinds: what each is.
        temperature: T > 0.
    """
    parts = zip(targets, outputs, kinds, strict=True)
    losses = [_one(target, output, kind, temperature) for target, output, kind in parts]
    return tf.add_n(losses) / float(len(losses))


def _one(target: Any, output: Any, kind: Outputs, temperature: float) -> Any:
    target, output = tf.cast(target, tf.float32), tf.cast(output, tf.float32)
    if kind == "values":
        return tf.reduce_mean((output - target) ** 2) / (tf.reduce_mean(target**2) + _LEAST)
    if kind == "binary":
        target, output = _logit(target), _logit(output)
    if kind == "probabilities":
        target, output = (tf.math.log(tf.maximum(scores, _LEAST)) for scores in (target, output))
    target, output = target / temperature, output / temperature
    if kind in ("binary", "binary_logits"):
        yes = tf.math.log_sigmoid(target) - tf.math.log_sigmoid(output)
        no = tf.math.log_sigmoid(-target) - tf.math.log_sigmoid(-output)
        share: Any = tf.sigmoid(target)
        return temperature**2 * tf.reduce_mean(share * yes + (1 - share) * no)
    wanted: Any = tf.nn.log_softmax(target)
    found: Any = tf.nn.log_softmax(output)
    return temperature**2 * tf.reduce_mean(tf.reduce_sum(tf.exp(wanted) * (wanted - found), axis=-1))


def _logit(probability: Any) -> Any:
    inside: Any = tf.clip_by_value(probability, _NEAR, 1 - _NEAR)
    return tf.math.log(inside) - tf.math.log1p(-inside)


def _said(shapes: list[tuple[Any, ...]]) -> str:
    return ", ".join(map(str, shapes))
