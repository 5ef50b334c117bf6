"""The QuantizeConfig that users annotate layers with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tf_keras
from tensorflow_model_optimization.python.core.quantization.keras.quantize_config import QuantizeConfig
from tensorflow_model_optimization.python.core.quantization.keras.quantizers import MovingAverageQuantizer

from converters.errors import ModelError
from tfmpq.quantize_config.kinds import kernel_of
from tfmpq.quantize_config.quantizer import MultipointQuantizer


@tf_keras.utils.register_keras_serializable(package="tfmpq")
class MultipointQuantizeConfig(QuantizeConfig):
    """Multipoint weights for one layer, 8-bit activations as tfmot has them by default.

    For Conv2D, DepthwiseConv2D, Conv2DTranspose and Dense layers of tf_keras. Give it to tfmot's
    ``quantize_annotate_layer``. An annotated model, given to :func:`tfmpq.convert`, is converted with these bits and at
    most so many points, chosen with calibration data. After ``quantize_apply`` the model computes with points chosen
    by the weights alone, and :func:`tfmpq.convert` writes those very integers.

    Args:
        bits, max_points, algorithm, points, share, epsilon: see :class:`tfmpq.simulation.SimulationSettings`.
        quantize_activation: whether the layer's output is rounded to 8 bits too; what is fused into one int8 op with
            the layer (a batch normalization, a ReLU) takes care of that itself.

    Raises:
        OptionError: A value is out of range.
    """

    def __init__(
        self,
        bits: int = 4,
        max_points: int = 0,
        algorithm: str = "nearest_radix",
        points: int | Sequence[int] | None = None,
        share: float | None = None,
        epsilon: float = 0.01,
        quantize_activation: bool = True,
    ) -> None:
        self.weight_quantizer = MultipointQuantizer(
            bits=bits, max_points=max_points, algorithm=algorithm, points=points, share=share, epsilon=epsilon
        )
        self.quantize_activation = quantize_activation
        self._activation_quantizer = MovingAverageQuantizer(
            num_bits=8, per_axis=False, symmetric=False, narrow_range=False
        )

    @property
    def settings(self) -> Any:
        """The :class:`tfmpq.simulation.SimulationSettings`."""
        return self.weight_quantizer.settings

    def get_weights_and_quantizers(self, layer: Any) -> list[tuple[Any, MultipointQuantizer]]:
        """The layer's kernel.

        Raises:
            ModelError: A layer of Keras 3, or of a kind that has no multipoint form in tfmot.
        """
        return [(getattr(layer, kernel_of(layer).attribute), self.weight_quantizer)]

    def get_activations_and_quantizers(self, layer: Any) -> list[tuple[Any, Any]]:
        """The layer's activation function, unless the output is rounded elsewhere."""
        return [(layer.activation, self._activation_quantizer)] if self.quantize_activation else []

    def set_quantize_weights(self, layer: Any, quantize_weights: Sequence[Any]) -> None:
        """Puts the simulated kernel into the layer."""
        attribute = kernel_of(layer).attribute
        shapes = [tuple(weight.shape) for weight in quantize_weights]
        expected = tuple(getattr(layer, attribute).shape)
        if shapes != [expected]:
            raise ModelError(f"layer '{layer.name}' takes one {attribute} of shape {expected}, not {shapes}.")
        setattr(layer, attribute, quantize_weights[0])

    def set_quantize_activations(self, layer: Any, quantize_activations: Sequence[Any]) -> None:
        """Puts tfmot's rounding activation into the layer."""
        for activation in quantize_activations:
            layer.activation = activation

    def get_output_quantizers(self, layer: Any) -> list[Any]:
        """None: the output is rounded with the activation."""
        return []

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments."""
        return {**self.settings.to_config(), "quantize_activation": self.quantize_activation}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> MultipointQuantizeConfig:
        """Undoes :meth:`get_config`."""
        return cls(**config)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, MultipointQuantizeConfig) and self.get_config() == other.get_config()

    def __hash__(self) -> int:
        return hash((self.settings, self.quantize_activation))
