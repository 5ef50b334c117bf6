"""The Quantizer that puts multipoint weights into the forward pass of a tfmot model."""

from __future__ import annotations

import weakref
from dataclasses import dataclass
from typing import Any

import tensorflow as tf
import tf_keras
from tensorflow_model_optimization.python.core.quantization.keras.quantizers import Quantizer

from tfmpq.quantize_config.folding import inner, row_sign
from tfmpq.quantize_config.kinds import kernel_of
from tfmpq.simulation.core import SimulatedWeight
from tfmpq.simulation.settings import SimulationSettings


@dataclass(frozen=True, eq=False)
class _State:
    """What one weight needs from call to call."""

    simulated: SimulatedWeight
    owner: weakref.ref[Any]  # tfmot's wrapper, whose place in the model says which normalization is folded


@tf_keras.utils.register_keras_serializable(package="tfmpq")
class MultipointQuantizer(Quantizer):
    """Replaces a layer's weight by the sum of low-bit points that the converted file will hold; gradients pass through.

    Nothing is trained and nothing is stored with the model: the points follow from the weight alone. They are chosen on
    the host, and XLA (``compile(jit_compile=True)``) cannot compile that.

    Args:
        **settings: bits, max_points, algorithm, points, share, epsilon; see
            :class:`tfmpq.simulation.SimulationSettings`.

    Raises:
        OptionError: A value is out of range, or a name unknown.
    """

    def __init__(self, **settings: Any) -> None:
        self.settings = SimulationSettings.from_config(settings)

    def build(self, tensor_shape: Any, name: str, layer: Any) -> dict[str, Any]:
        """Prepares one weight; ``layer`` is tfmot's wrapper, whose inner layer owns it."""
        kernel = kernel_of(inner(layer))
        return {"state": _State(SimulatedWeight(self.settings, kernel.channel_axes), weakref.ref(layer))}

    def __call__(self, inputs: Any, training: Any, weights: dict[str, Any], **kwargs: Any) -> tf.Tensor:
        """The simulated weight; the same in training and in inference."""
        state: _State = weights["state"]
        owner = state.owner()
        return state.simulated(inputs, None if owner is None else row_sign(owner))

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments."""
        return self.settings.to_config()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, MultipointQuantizer) and self.settings == other.settings

    def __hash__(self) -> int:
        return hash(self.settings)
