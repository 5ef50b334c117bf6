"""The two layers of this package: one carries settings, the other computes with points."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from converters.errors import DataWarning, ModelError
from converters.points import MultipointWeight, turned
from tfmpq.keras.bias import folded_bias, norm_scale, rounded_bias
from tfmpq.keras.int8_values import int8_rounded
from tfmpq.keras.kernels import CHANNEL_AXES, kernel_of
from tfmpq.simulation import SimulationSettings
from tfmpq.simulation.core import SimulatedWeight, fold_sign
from tfmpq.simulation.points import channel_rows, from_rows
from tfmpq.simulation.source import SimulatedLayer


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

    The weight itself stays float and is what training changes, unless a quantizer learns all there is. Without
    quantizers gradients pass straight through the rounding of the weight, and through that of activations as far as
    these are within their range.

    Attributes:
        layer: the layer.
        settings: how its points are chosen.
        quantizer: what learns the points in place of that, see :mod:`tfmpq.keras.quantizers`; None: nothing.
        input_quantizer: what learns the steps of the input; None: they are those of the int8 tensor.
        norm: the batch normalization behind the layer that conversion folds into its weight, or None. Its scale turns
            the points of a row around where it is negative, so it is read at every call.
        flipped: output channels that conversion multiplies by a negative number besides that.
        rounds_bias: whether biases are rounded as the file holds them, where they are multiples of one step a row.
        input_scale, input_zero_point: of the int8 tensor that the layer reads.
        observer: gets every input, which is then left as it is; None: inputs are rounded.
    """

    def __init__(
        self,
        layer: Any,
        settings: SimulationSettings | Mapping[str, Any],
        *,
        quantizer: Any = None,
        input_quantizer: Any = None,
        input_scale: float = 1.0,
        input_zero_point: int = 0,
        norm: Any = None,
        flipped: Sequence[int] = (),
        rounds_bias: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(layer, **{"name": layer.name, **kwargs})
        self.settings = _settings(settings)
        self.quantizer = quantizer
        self.input_quantizer = input_quantizer
        self.norm = norm
        self.flipped = tuple(flipped)
        self.rounds_bias = rounds_bias
        self.input_scale = input_scale
        self.input_zero_point = input_zero_point
        self.supports_masking = layer.supports_masking
        self.observer: Callable[[Any], None] | None = None
        self.supports_jit = quantizer is not None  # other points are computed by NumPy
        self._points = SimulatedWeight(self.settings, CHANNEL_AXES[type(layer)])

    def build(self, input_shape: Any = None) -> None:
        """Makes the variables of the layer, its quantizers and the normalization."""
        super().build(input_shape)
        if self.quantizer is not None and not self.quantizer.built:  # those from files are
            self.quantizer.build(tuple(kernel_of(self.layer).shape))
        if self.quantizer is not None and not self.quantizer.trains_weight:
            kernel_of(self.layer).trainable = False
        if self.input_quantizer is not None and not self.input_quantizer.built:
            self.input_quantizer.build(input_shape)
        if self.norm is not None and not self.norm.built:
            self.norm.build(self.layer.compute_output_shape(input_shape))

    def sign(self) -> Any:
        """Sign of the factor that conversion multiplies into each row, float32 (C,)."""
        axes = CHANNEL_AXES[type(self.layer)]
        signs = np.ones(np.prod([kernel_of(self.layer).shape[axis] for axis in axes]), np.float32)
        signs[list(self.flipped)] = -1
        gamma = None if self.norm is None else self.norm.gamma
        return ops.convert_to_tensor(signs) if gamma is None else fold_sign(gamma) * signs

    def simulated_weight(self, training: bool | None = False) -> Any:
        """What the points of the weight stand for, in the weight's shape."""
        weight = kernel_of(self.layer).value
        if self.quantizer is not None:
            return self.quantizer(ops.convert_to_tensor(weight), training=training)
        return self._points(weight, self.sign())

    def export(self) -> SimulatedLayer:
        """The layer for :func:`tfmpq.convert`, with the points it computes with in inference.

        Raises:
            ModelError: Its training is not at the end, or went wrong.
        """
        if self.quantizer is not None:
            self._check_trained()
        kernel, axes = np.asarray(kernel_of(self.layer)), CHANNEL_AXES[type(self.layer)]
        trained = None if self.quantizer is None else self.quantizer.points(kernel)
        reads = None if self.input_quantizer is None else self.input_quantizer.codes()
        signs = None if self.quantizer is None else self.quantizer.row_signs()
        own = np.asarray(self.sign())
        if trained is not None and signs is not None:
            self._say_what_is_turned(trained, signs * own < 0)
        return SimulatedLayer(self.settings, channel_rows(kernel, axes), own, trained, reads, signs)

    def _say_what_is_turned(self, trained: MultipointWeight, rows: np.ndarray) -> None:
        """Warns of weights that have no opposite, in rows that training has turned around; see :func:`turned`."""
        opposite = -trained.reconstruct()[rows]
        lost = int((turned(trained, rows).reconstruct()[rows] != opposite).sum())
        if lost:
            message = (
                f"layer '{self.name}': training has changed the sign of its batch normalization in {int(rows.sum())} "
                f"row(s), and the lowest code has no opposite: {lost} weight(s) are a code smaller in the file than in "
                "the simulation. tfmpq.training.freeze_norms keeps the signs."
            )
            warnings.warn(DataWarning(message), stacklevel=2)

    def _check_trained(self) -> None:
        if self.quantizer.unfinished():
            raise ModelError(
                f"layer '{self.name}': {self.quantizer.unfinished()}. Train it to the end of its schedule, with "
                "tfmpq.training.callbacks, before it is converted."
            )
        if not all(np.isfinite(np.asarray(variable)).all() for variable in self.variables):
            raise ModelError(
                f"layer '{self.name}' has weights or learned scales that are not finite: its training diverged. Train "
                "it again with a lower rate, and with tfmpq.training.callbacks, which stop before that."
            )

    def file_weight(self) -> np.ndarray:
        """What the points of the file stand for, float32 in the weight's shape."""
        if self.quantizer is None:
            return np.asarray(self.simulated_weight())
        kernel = np.asarray(kernel_of(self.layer))
        signs = self.quantizer.row_signs()
        rows = self.quantizer.points(kernel).reconstruct(np.float32)
        rows = rows if signs is None else rows * signs.astype(np.float32)[:, None]
        return from_rows(rows, kernel.shape, CHANNEL_AXES[type(self.layer)])

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """The layer's output, normalized where the layer has a ``norm``."""
        if self.observer is not None:
            self.observer(inputs)
            outputs = self.layer(inputs)
            return outputs if self.norm is None else self.norm(outputs, training=training)
        rounded = self._rounded(inputs, training)
        values = [(kernel_of(self.layer), self.simulated_weight(training))]
        bias, units = self.layer.bias if self.layer.use_bias else None, self._bias_units()
        if bias is not None and units is not None and self.norm is None:
            values.append((bias, rounded_bias(ops.convert_to_tensor(bias), units)))
        with keras.StatelessScope(state_mapping=values, collect_losses=True) as scope:
            outputs = self.layer(rounded)
        for loss in scope.losses:
            self.add_loss(loss)
        if self.norm is None:
            return outputs
        outputs = self.norm(outputs, training=training)
        if units is None:
            return outputs
        folded = folded_bias(self.norm, bias)
        return outputs + ops.stop_gradient(rounded_bias(folded, units) - folded)

    def _bias_units(self) -> Any | None:
        """(C,) what the file's biases are multiples of; None: not known, as where a row has several points."""
        steps: Any = self.quantizer.row_steps() if self.rounds_bias and self.quantizer is not None else None
        if steps is None:
            return None
        read: Any = self.input_scale if self.input_quantizer is None else self.input_quantizer.int8_scale()
        units: Any = ops.stop_gradient(steps * read)
        return units if self.norm is None else units * ops.stop_gradient(norm_scale(self.norm))

    def _rounded(self, inputs: Any, training: bool | None) -> Any:
        if self.input_quantizer is not None:
            return self.input_quantizer(inputs, training=training)
        return int8_rounded(inputs, self.input_scale, self.input_zero_point)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """As the layer's."""
        return self.layer.compute_output_shape(input_shape)

    def get_config(self) -> dict[str, Any]:
        """Everything but the variables."""
        parts = {"quantizer": self.quantizer, "input_quantizer": self.input_quantizer, "norm": self.norm}
        return {
            **super().get_config(),
            "settings": self.settings.to_config(),
            "input_scale": self.input_scale,
            "input_zero_point": self.input_zero_point,
            "flipped": list(self.flipped),
            "rounds_bias": self.rounds_bias,
            **{name: keras.saving.serialize_keras_object(part) for name, part in parts.items()},
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Simulate:
        """Reads what :meth:`get_config` writes."""
        names = [name for name in ("layer", "norm", "quantizer", "input_quantizer") if name in config]
        parts = {n: keras.saving.deserialize_keras_object(config[n], custom_objects=custom_objects) for n in names}
        return cls(**{**config, **parts})
