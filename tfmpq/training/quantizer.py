"""What all quantizers of this package have in common: rows of a weight, and noise for stochastic rounding."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfmpq.simulation.points import channel_rows
from tfmpq.training.rounding import Rounding, check_rounding


class Quantizer(keras.layers.Layer):
    """A quantizer with variables of its own; see :mod:`tfmpq.keras.quantizers` for what it has to be able to do.

    Attributes:
        channel_axes: of the weight, see :func:`tfmpq.simulation.points.channel_rows`; none: of an input.
        rounding: in training; in inference, and so in the file, values are rounded to the nearest.
        seed: of stochastic rounding; draws are counted in a variable, so that a training that is resumed goes on
            with the same noise.
        trains_weight: whether the float weight is trained.
    """

    trains_weight = True

    def __init__(
        self, *, channel_axes: Sequence[int] = (), rounding: Rounding = "nearest", seed: int = 0, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        check_rounding(rounding)
        self.channel_axes = tuple(channel_axes)
        self.rounding: Rounding = rounding
        self.seed = seed

    def build(self, input_shape: Sequence[int | None]) -> None:
        """Makes the count of draws, where rounding is stochastic."""
        if self.rounding == "stochastic":
            self.draws = self.add_weight(
                shape=(), dtype="int32", initializer="zeros", trainable=False, autocast=False, name="draws"
            )
        self.built = True

    def noise(self, values: Any, training: bool | None) -> Any | None:
        """Uniform noise for :func:`tfmpq.training.rounding.rounded`; None where values go to the nearest."""
        if self.rounding != "stochastic" or not training:
            return None
        seed: Any = tf.stack([self.seed, tf.convert_to_tensor(self.draws)])
        noise = tf.random.stateless_uniform(tf.shape(values), seed)
        self.draws.assign_add(1)
        return noise

    def rows(self, weight: np.ndarray) -> np.ndarray:
        """The weight as rows (C, d), in the order of the file."""
        return channel_rows(weight, self.channel_axes)

    def rows_shape(self, shape: Sequence[int | None]) -> list[int]:
        """Of one number a row, as it broadcasts to a weight of this shape."""
        axes = [axis % len(shape) for axis in self.channel_axes]
        return [int(size or 1) if axis in axes else 1 for axis, size in enumerate(shape)]

    def row_signs(self) -> np.ndarray | None:
        """None: points are those of the rows as they are in Keras."""
        return None

    def row_steps(self) -> Any | None:
        """None: the file may write rows at other steps."""
        return None

    def unfinished(self) -> str:
        """Nothing: what is computed in training is what the points say, but for noise."""
        return ""

    def compute_output_shape(self, input_shape: Any) -> Any:
        """As the input's."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """Everything but the variables."""
        own = {"channel_axes": list(self.channel_axes), "rounding": self.rounding, "seed": self.seed}
        return {**super().get_config(), **own}
