"""`tfmpq.training.FixedPointUpdates`: an optimizer whose weights stay fixed-point numbers."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from tfmpq.training.fixed_point import FixedPoint
from tfmpq.training.rounding import Rounding, check_rounding


@keras.saving.register_keras_serializable(package="tfmpq")
class FixedPointUpdates(keras.optimizers.Optimizer):
    """Rounds every kernel to fixed-point numbers <IL, FL> after each update of another optimizer.

    Source: Gupta et al., "Deep Learning with Limited Numerical Precision", ICML 2015: updates are summed in float32 and
    rounded once. With nearest rounding updates below half a step are lost; stochastic rounding keeps them on average.
    Kernels are variables of two or more axes; biases and normalizations are updated in float.

    Attributes:
        inner: the optimizer that makes the updates; what else an optimizer does (clipping, decay) is set there.
        numbers: the fixed-point numbers.
        rounding: ``"stochastic"`` or ``"nearest"``.

    Raises:
        OptionError: A value is out of range.
    """

    def __init__(
        self,
        optimizer: Any,
        integer_bits: int,
        fraction_bits: int,
        *,
        rounding: Rounding = "stochastic",
        seed: int = 0,
        name: str = "fixed_point_updates",
    ) -> None:
        check_rounding(rounding, seed)
        super().__init__(learning_rate=0.0, name=name)
        self.inner: Any = keras.optimizers.get(optimizer)
        self.numbers = FixedPoint(integer_bits, fraction_bits)
        self.rounding: Rounding = rounding
        self.seed = seed

    def build(self, var_list: Any) -> None:
        """Makes the variables of both optimizers."""
        self._saturated: Any = self.add_variable(shape=(), dtype="int64", initializer="zeros", name="saturated")
        self.inner.build(var_list)
        super().build(var_list)

    @property
    def variables(self) -> list[Any]:
        """Own ones and those of the inner optimizer."""
        return [*self._variables, *self.inner.variables]

    @property
    def saturated(self) -> int:
        """How often, over all updates so far, a weight came to lie beyond the largest number and was clipped."""
        return int(self._saturated) if self.built else 0

    def apply(self, grads: Any, trainable_variables: Any = None) -> Any:
        """Updates the variables, and rounds the kernels among them."""
        if not self.built:
            with keras.name_scope(self.name):
                self.build(trainable_variables)
            self.built = True
        variables = self._trainable_variables if trainable_variables is None else list(trainable_variables)
        step = tf.cast(self.inner.iterations, tf.int32)
        self.inner.apply(grads, trainable_variables)
        limit = self.numbers.most * self.numbers.step
        for number, variable in enumerate(variables):
            if len(variable.shape) < 2:
                continue
            value = tf.convert_to_tensor(variable)
            noise = None
            if self.rounding == "stochastic":
                seed: Any = tf.stack([self.seed + number, step])
                noise = tf.random.stateless_uniform(tf.shape(value), seed)
            beyond = tf.reduce_sum(tf.cast(tf.abs(value) > limit, tf.int64))
            self._saturated.assign(tf.convert_to_tensor(self._saturated) + beyond)
            variable.assign(self.numbers.nearest(value, noise))

    @property
    def learning_rate(self) -> Any:
        """Of the inner optimizer."""
        return self.inner.learning_rate

    @learning_rate.setter
    def learning_rate(self, learning_rate: Any) -> None:
        self.inner.learning_rate = learning_rate

    @property
    def iterations(self) -> Any:
        """Updates so far."""
        return self.inner.iterations

    def finalize_variable_values(self, var_list: Any) -> None:
        """As the inner optimizer's; averages are rounded, to the nearest."""
        self.inner.finalize_variable_values(var_list)
        for variable in var_list:
            if len(variable.shape) >= 2:
                variable.assign(self.numbers.nearest(tf.convert_to_tensor(variable), None))

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments."""
        return {
            "name": self.name,
            "optimizer": keras.saving.serialize_keras_object(self.inner),
            "integer_bits": self.numbers.integer_bits,
            "fraction_bits": self.numbers.fraction_bits,
            "rounding": self.rounding,
            "seed": self.seed,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> FixedPointUpdates:
        """Reads what :meth:`get_config` writes."""
        inner = keras.saving.deserialize_keras_object(config["optimizer"], custom_objects=custom_objects)
        return cls(**{**config, "optimizer": inner})
