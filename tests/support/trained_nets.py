"""Networks in training, by every method, and a few steps of it."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np

import tfmpq.training as training
from tests.support.keras_nets import data
from tfmpq.keras import SimulationSettings, annotate

Method = Callable[[Any, np.ndarray], Any]
_ENDS = {"separable": "stem|classifier", "transposed": "up|grouped"}  # first and last layers

METHODS: dict[str, Method] = {
    "lg_lsq": lambda model, x: training.lg_lsq(model, x, bits=3),
    "w4a4": lambda model, x: training.lg_lsq(model, x, bits=4, activation_bits=4, start="magnitudes"),
    "stochastic": lambda model, x: training.lg_lsq(
        model, x, bits=3, activation_bits=5, rounding="stochastic", seed=3, start="magnitudes"
    ),
    "ttq": lambda model, x: training.ttq(model, x),
    "inq4": lambda model, x: training.inq(model, x, bits=4, portions=(0.5, 1.0)),
    "inq5": lambda model, x: training.inq(model, x, bits=5, portions=(0.5, 1.0)),
    "levels": lambda model, x: training.differentiable(model, x, bits=3, points=2),
    "fixed": lambda model, x: training.limited_precision(model, x, integer_bits=2, fraction_bits=10),
}


def low_bit_depthwise(model: Any, bits: int) -> Any:
    """The model with ``bits`` in all layers but the first and the last; depthwise ones have them only where asked."""
    ends = annotate(model, SimulationSettings(bits=8, points=1), match=_ENDS[model.name])
    return annotate(ends, SimulationSettings(bits=bits, points=1))


def optimizer(method: str, rate: float = 1e-3) -> Any:
    """Adam, on fixed-point numbers where the method is about these."""
    adam = keras.optimizers.Adam(rate)
    return training.FixedPointUpdates(adam, 2, 10) if method == "fixed" else adam


class _Keep(keras.callbacks.Callback):
    """Saves the model in the middle of a training."""

    def __init__(self, epoch: int, path: Path) -> None:
        super().__init__()
        self._epoch, self._path = epoch, path

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        if epoch + 1 == self._epoch:
            model: Any = self.model
            with warnings.catch_warnings():  # Keras's own use of NumPy
                warnings.simplefilter("ignore", DeprecationWarning)
                model.save(self._path)


def fitted(
    student: Any, x: np.ndarray, target: np.ndarray, *, first: int = 0, epochs: int = 2, keep: Path | None = None
) -> list[float]:
    """Trains a compiled model, in the same order whenever it is called; the loss of every epoch.

    Args:
        student: the model.
        x: inputs.
        target: labels.
        first: the epoch to go on from.
        epochs: how many, those before the first included.
        keep: where the model after half of them is saved.
    """
    keras.utils.set_random_seed(0)
    callbacks = training.callbacks(student)
    if keep is not None:
        callbacks = [*callbacks, _Keep(epochs // 2, keep)]
    options: dict[str, Any] = {"batch_size": 8, "shuffle": False, "verbose": 0, "callbacks": callbacks}
    return student.fit(x, target, initial_epoch=first, epochs=epochs, **options).history["loss"]


def trained(model: Any, method: str, epochs: int = 2) -> tuple[Any, np.ndarray]:
    """A copy of the model after a few steps by a method, and the data."""
    x = data(model)
    target = np.asarray(model(x))
    student = METHODS[method](model, x)
    student.compile(optimizer(method), "mse", jit_compile=False)
    fitted(student, x, target, epochs=epochs)
    return student, x
