"""Notices in the graph which batch of a training is the first to hold what is no finite number."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from converters.errors import DataError

_NONE = -1


class DataWatch:
    """Looks at the data of every step; costs a pass over them, and reads nothing back."""

    def __init__(self) -> None:
        self._steps = _counter(0)
        self._first = {what: _counter(_NONE) for what in ("inputs", "labels")}

    def start(self) -> None:
        """Begins a new epoch."""
        self._steps.assign(0)
        for first in self._first.values():
            first.assign(_NONE)

    def see(self, inputs: Any, labels: Any) -> None:
        """Looks at a batch, in the graph of a training step."""
        if tf.distribute.get_strategy().num_replicas_in_sync > 1:
            return  # each replica has batches of its own
        for what, values in (("inputs", inputs), ("labels", labels)):
            first = self._first[what]
            found: Any = tf.convert_to_tensor(first)
            is_new = tf.logical_and(found == _NONE, tf.logical_not(_all_finite(values)))
            first.assign(tf.where(is_new, self._steps, found))
        self._steps.assign_add(1)

    def found(self) -> str:
        """``inputs`` or ``labels`` and their batch, counted from 1, in words; empty: all are finite numbers."""
        for what, first in self._first.items():
            if int(first) != _NONE:
                return f"the {what} of batch {int(first) + 1} hold NaN or infinity"
        return ""


def watch_of(model: Any) -> DataWatch | None:
    """What looks at the data of a model's training; None: nothing does."""
    return getattr(model, "data_watch", None)


def watch_data(model: Any) -> None:
    """Has a Sequential or functional model look at its data in every ``fit``, and say so where labels are missing."""
    if watch_of(model) is not None:
        return
    watch, usual = DataWatch(), model.compute_loss

    def compute_loss(
        x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None, training: bool = True
    ) -> Any:
        if y is None and model.loss is not None:
            raise DataError(
                f"fit got no labels, but model '{model.name}' is compiled with a loss that compares with some. Give "
                "them, fit(x, y), or train by the float model's outputs: tfmpq.training.with_teacher(student, model, "
                "share=1)."
            )
        if training:
            watch.see(x, y)
        return usual(x=x, y=y, y_pred=y_pred, sample_weight=sample_weight, training=training)

    model.data_watch = watch
    model.compute_loss = compute_loss


def _all_finite(values: Any) -> Any:
    floats = [v for v in keras.tree.flatten(values) if v is not None and tf.as_dtype(v.dtype).is_floating]
    return tf.reduce_all([tf.reduce_all(tf.math.is_finite(v)) for v in floats]) if floats else tf.constant(True)


def _counter(start: int) -> Any:
    return tf.Variable(tf.constant(start, tf.int64), trainable=False)
