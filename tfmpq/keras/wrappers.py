"""The two layers of this package: one carries settings, the other computes with points."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from tfmpq.keras.kernels import CHANNEL_AXES, kernel_of
from tfmpq.simulation import SimulationSettings
from tfmpq.simulation.core import SimulatedWeight, fold_sign


def _settings(value: SimulationSettings | Mapping[str, Any]) -> SimulationSettings:
    return value if isinstance(value, SimulationSettings) else SimulationSettings.from_config(value)


@keras.saving.register_keras_serializable(package="tfmpq")
class Annotate(keras.layers.Wrapper):
    """A layer and the settings it is to be quantized with; computes what the layer computes.

    Attributes:
        layer: the layer.
        settings: its settings.
    """

    def __init__(self, layer: Any, settings: SimulationSettings | Mapping[str, Any], **kwargs: Any) -> None:
        super().__init__(layer, **{"name": layer.name, **kwargs})
        self.settings = _settings(settings)
        self.supports_masking = layer.supports_masking

    def call(self, inputs: Any) -> Any:
        """The layer's output."""
        return self.layer(inputs)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """As the layer's."""
        return self.layer.compute_output_shape(input_shape)

    def get_config(self) -> dict[str, Any]:
        """Everything but the variables."""
        return {**super().get_config(), "settings": self.settings.to_config()}


@keras.saving.register_keras_serializable(package="tfmpq")
class Simulate(keras.layers.Wrapper):
    """A layer that computes with the points of its weight, and reads int8 activations.

    The weight itself stays float and is what training changes; gradients pass straight through the rounding of the
    weight, and through that of activations as far as these are within their range.

    Attributes:
        layer: the layer.
        settings: how its points are chosen.
        norm: the batch normalization behind the layer that conversion folds into its weight, or None. Its scale turns
            the points of a row around where it is negative, so it is read at every call.
        flipped: output channels that conversion multiplies by a negative number besides that.
        input_scale, input_zero_point: of the int8 tensor that the layer reads.
    """

    def __init__(
        self,
        layer: Any,
        settings: SimulationSettings | Mapping[str, Any],
        *,
        input_scale: float = 1.0,
        input_zero_point: int = 0,
        norm: Any = None,
        flipped: Sequence[int] = (),
        **kwargs: Any,
    ) -> None:
        super().__init__(layer, **{"name": layer.name, **kwargs})
        self.settings = _settings(settings)
        self.norm = norm
        self.flipped = tuple(flipped)
        self.input_scale = input_scale
        self.input_zero_point = input_zero_point
        self.supports_masking = layer.supports_masking
        self.supports_jit = False  # the points are computed by NumPy
        self._points = SimulatedWeight(self.settings, CHANNEL_AXES[type(layer)])

    def build(self, input_shape: Any = None) -> None:
        """Makes the variables of the layer and the normalization."""
        super().build(input_shape)
        if self.norm is not None and not self.norm.built:
            self.norm.build(self.layer.compute_output_shape(input_shape))

    def sign(self) -> Any:
        """Sign of the factor that conversion multiplies into each row, float32 (C,)."""
        axes = CHANNEL_AXES[type(self.layer)]
        signs = np.ones(np.prod([kernel_of(self.layer).shape[axis] for axis in axes]), np.float32)
        signs[list(self.flipped)] = -1
        gamma = None if self.norm is None else self.norm.gamma
        return ops.convert_to_tensor(signs) if gamma is None else fold_sign(gamma) * signs

    def simulated_weight(self) -> Any:
        """What the points of the weight stand for, in the weight's shape."""
        return self._points(kernel_of(self.layer).value, self.sign())

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """The layer's output, normalized where the layer has a ``norm``."""
        low, high = ((limit - self.input_zero_point) * self.input_scale for limit in (-128, 127))
        clipped: Any = ops.clip(inputs, low, high)
        steps: Any = ops.round(clipped / self.input_scale)
        rounded: Any = clipped + ops.stop_gradient(steps * self.input_scale - clipped)
        weight = [(kernel_of(self.layer), self.simulated_weight())]
        with keras.StatelessScope(state_mapping=weight, collect_losses=True) as scope:
            outputs = self.layer(rounded)
        for loss in scope.losses:
            self.add_loss(loss)
        return outputs if self.norm is None else self.norm(outputs, training=training)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """As the layer's."""
        return self.layer.compute_output_shape(input_shape)

    def get_config(self) -> dict[str, Any]:
        """Everything but the variables."""
        return {
            **super().get_config(),
            "settings": self.settings.to_config(),
            "input_scale": self.input_scale,
            "input_zero_point": self.input_zero_point,
            "norm": keras.saving.serialize_keras_object(self.norm),
            "flipped": list(self.flipped),
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Simulate:
        """Reads what :meth:`get_config` writes."""
        norm: Any = keras.saving.deserialize_keras_object(config["norm"], custom_objects=custom_objects)
        layer: Any = keras.saving.deserialize_keras_object(config["layer"], custom_objects=custom_objects)
        return cls(**{**config, "layer": layer, "norm": norm})
