"""The order of samples in training, by a seed of its own."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf


def orders(rows: np.ndarray, batch_size: int, epochs: int, seed: int, *, whole: bool = False) -> tf.data.Dataset:
    """Numbers of samples, batch by batch, shuffled anew in every epoch.

    ``Dataset.shuffle`` looks at TensorFlow's global seed as well, which others set.

    Args:
        rows: numbers of the samples, in any order.
        batch_size: numbers a batch.
        epochs: passes over all of them.
        seed: of the order.
        whole: whether a last batch of fewer is left out.
    """

    def of_epoch(number: Any) -> tf.data.Dataset:
        random: Any = tf.random
        order = random.experimental.stateless_shuffle(rows.astype(np.int64), tf.stack([seed, number]))
        return tf.data.Dataset.from_tensor_slices(order).batch(batch_size, drop_remainder=whole)

    return tf.data.Dataset.range(epochs).flat_map(of_epoch)
