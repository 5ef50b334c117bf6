"""Activations as int8 holds them, in Keras."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

LOWEST, HIGHEST = -128, 127
UP = 0.5 + 2e-5  # is added before rounding down: ties go up, as in the kernels; sums of float32 miss them by less


def int8_rounded(values: Any, scale: float, zero_point: int) -> Any:
    """Values of an int8 tensor; gradients pass straight through the rounding, within its range.

    Ties are no accident: where ReLU6 ends ranges, a sum has twice the step of what is added, and half of them lie in
    the middle between two integers.
    """
    low, high = ((limit - zero_point) * scale for limit in (LOWEST, HIGHEST))
    clipped: Any = ops.clip(values, low, high)
    steps: Any = ops.floor(clipped / scale + UP)
    return clipped + ops.stop_gradient(steps * scale - clipped)


@keras.saving.register_keras_serializable(package="tfmpq")
class Int8Values(keras.layers.Layer):
    """What the layer in front hands on, as the int8 tensor of the file holds it.

    Attributes:
        scale, zero_point: of the tensor; a scale of 0 leaves values as they are.
        observer: gets every value, which is then left as it is; None: values are rounded.
    """

    def __init__(self, *, scale: float = 0.0, zero_point: int = 0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.scale = scale
        self.zero_point = zero_point
        self.supports_masking = True
        self.observer: Callable[[Any], None] | None = None

    def call(self, inputs: Any) -> Any:
        """The rounded values."""
        if self.observer is not None:
            self.observer(inputs)
            return inputs
        return inputs if self.scale == 0 else int8_rounded(inputs, self.scale, self.zero_point)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """As the input's."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """Everything."""
        return {**super().get_config(), "scale": self.scale, "zero_point": self.zero_point}

    def range(self) -> tuple[float, float]:
        """Smallest and largest value of the tensor."""
        return (LOWEST - self.zero_point) * self.scale, (HIGHEST - self.zero_point) * self.scale
