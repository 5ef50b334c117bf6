"""The TensorFlow operation behind every simulated layer: float weight in, the weight its points stand for out.

It knows no Keras, so that one core serves all generations. The points are chosen by the same NumPy function that the
conversion calls, through ``tf.numpy_function``: TensorFlow arithmetic differs in the last bit between devices, graph
optimizations and batch sizes, which is enough to round a weight to another integer than the file gets. The price is
that it runs on the host and not under XLA.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import tensorflow as tf

from tfmpq.simulation.points import simulate
from tfmpq.simulation.settings import SimulationSettings


class SimulatedWeight:
    """Computes the simulated form of one weight; keep one object a weight.

    The last result is remembered: the weight of a layer changes with every training step, but in inference it stays.

    Args:
        settings: how the weight is simulated.
        channel_axes: see :func:`tfmpq.simulation.points.channel_rows`.
    """

    def __init__(self, settings: SimulationSettings, channel_axes: tuple[int, ...]) -> None:
        self._settings = settings
        self._channel_axes = channel_axes
        self._last: tuple[np.ndarray, np.ndarray, np.ndarray] | None = None

    def __call__(self, weight: Any, sign: Any | None = None) -> tf.Tensor:
        """The simulated weight, with the gradient passed straight through to ``weight``.

        Args:
            weight: float tensor or variable.
            sign: float (C,) from :func:`fold_sign`; None: all 1.

        Returns:
            A float32 tensor of the same shape, ``sign * sum_i scale_i * code_i`` in every row. A weight that is not
            finite comes back as it is, so that a training that diverges shows its NaN.

        Raises:
            OptionError: The settings list the points of another number of channels.
        """
        # Here, and not in the graph, where TensorFlow would wrap the error.
        self._settings.check_channels(math.prod(weight.shape[axis] for axis in self._channel_axes))

        @tf.custom_gradient
        def straight_through(value: tf.Tensor) -> Any:
            signs = tf.zeros([0], tf.float32) if sign is None else tf.cast(sign, tf.float32)
            result: Any = tf.numpy_function(self._compute, [value, signs], tf.float32, stateful=False)
            return tf.ensure_shape(result, value.shape), lambda upstream: upstream

        return straight_through(tf.cast(tf.convert_to_tensor(weight), tf.float32))

    def _compute(self, weight: np.ndarray, sign: np.ndarray) -> np.ndarray:
        last = self._last  # read once: several threads may compute with the same weight
        if last is not None and np.array_equal(last[0], weight) and np.array_equal(last[1], sign):
            return last[2]
        if not np.isfinite(weight).all():
            return weight
        result = simulate(weight, self._channel_axes, self._settings, sign if sign.size else None)
        self._last = (weight.copy(), sign.copy(), result)
        return result


def fold_sign(gamma: Any) -> tf.Tensor:
    """Sign (C,) of the factors that folding a batch normalization with scale ``gamma`` multiplies into the rows."""
    return tf.stop_gradient(tf.where(tf.convert_to_tensor(gamma) < 0, -1.0, 1.0))
