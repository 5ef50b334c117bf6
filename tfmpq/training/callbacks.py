"""`tfmpq.training.callbacks`: what a method does between epochs, and the guard against a loss that is no number."""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np

from converters.errors import ModelError
from converters.printable import shown
from tfmpq.keras.checks import check_model
from tfmpq.keras.kernels import kernel_of
from tfmpq.keras.rebuild import graph_layers
from tfmpq.keras.source import find_wrappers
from tfmpq.text import plural
from tfmpq.training.data_watch import watch_data, watch_of
from tfmpq.training.learned_step import LearnedStep
from tfmpq.training.powers import PowersOfTwo
from tfmpq.training.start import quantizers_of

_CALLER = "tfmpq.training.callbacks"
_SHARPEST = 10.0  # of the soft rounding, in the last epoch; it starts at 1


def callbacks(model: Any) -> list[keras.callbacks.Callback]:
    """Callbacks for ``fit`` of a model in training: the method's schedule, and a guard.

    Schedules follow the epochs of ``fit`` (``epochs``, and ``initial_epoch`` where training is resumed). The guard
    stops a training whose loss is NaN or infinite with an error that names epoch and layer, or the batch of the data
    that is to blame, and puts the weights back to those of the last good epoch. From here on the model's ``fit`` also
    says where labels are missing.

    Args:
        model: of one of the functions of :mod:`tfmpq.training`, or one that was saved and loaded again.

    Raises:
        ModelError: The model has no quantizers that learn.
    """
    check_model(model, _CALLER)
    quantizers = quantizers_of(model)
    if not quantizers:
        raise ModelError(
            f"{_CALLER}: model '{model.name}' has no layer with quantizers that learn. Give what tfmpq.training.lg_lsq "
            "or one of its neighbours returns."
        )
    soft = [q for q in quantizers.values() if isinstance(q, LearnedStep) and q.surrogate.asr]
    schedules: list[keras.callbacks.Callback] = [_Sharpen(soft)] if soft else []
    powers = {path: layer for path, layer in find_wrappers(model).items() if isinstance(layer.quantizer, PowersOfTwo)}
    if powers:
        schedules.append(_Freeze(list(powers.values())))
    watch_data(model)
    return [*schedules, _Guard(model)]


class _Sharpen(keras.callbacks.Callback):
    """Makes soft rounding sharper from epoch to epoch, in equal steps from 1 to 10 (LG-LSQ, a reconstruction)."""

    def __init__(self, quantizers: list[LearnedStep]) -> None:
        super().__init__()
        self._quantizers = quantizers

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        last = max((self.params or {}).get("epochs", 1) - 1, 1)
        sharpness = 1.0 + (_SHARPEST - 1.0) * min(epoch / last, 1.0)
        for quantizer in self._quantizers:
            quantizer.sharpness.assign(sharpness)


class _Freeze(keras.callbacks.Callback):
    """Freezes portions of weights at the start of equal shares of the epochs (INQ)."""

    def __init__(self, layers: list[Any]) -> None:
        super().__init__()
        self._layers = layers

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        epochs = max((self.params or {}).get("epochs", 1), 1)
        for layer in self._layers:
            portions = layer.quantizer.portions
            begun = [p for i, p in enumerate(portions) if epoch >= i * epochs // len(portions)]
            layer.quantizer.freeze(np.asarray(kernel_of(layer.layer)), begun[-1])


class _Guard(keras.callbacks.Callback):
    """Stops where loss or weights are no finite numbers, with the weights that the epoch began with."""

    def __init__(self, student: Any) -> None:
        super().__init__()
        self._student = student
        self._epoch = self._batch = 0
        self._good: list[np.ndarray] = []

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._epoch = epoch
        self._good = [np.asarray(v).copy() for v in self._variables()]
        if (watch := watch_of(self.model)) is not None:
            watch.start()

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self._batch = batch
        loss = float((logs or {}).get("loss", 0.0))
        if not math.isfinite(loss):
            self._stop(loss, self._broken_layers())

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        layers = self._broken_layers()
        if layers:  # by the last update, which no loss tells of
            self._stop(float((logs or {}).get("loss", math.nan)), layers)

    def _stop(self, loss: float, layers: list[str]) -> None:
        for variable, value in zip(self._variables(), self._good, strict=True):
            variable.assign(value)
        watch = watch_of(self.model)
        data = "" if watch is None else watch.found()
        place = f"training stopped in epoch {self._epoch + 1}, batch {self._batch + 1}: the loss is {loss}"
        state = "The model has the weights from the start of this epoch again."
        if data:
            raise ModelError(
                f"{place}, and the data are to blame: {data}. {state} Look for a division by zero in their "
                "preprocessing, or leave the sample out."
            )
        if layers:
            many = f" and {plural(len(layers) - 1, 'other layer')}" if len(layers) > 1 else ""
            where = f"layer {shown(layers[0])}{many} got weights that are not finite"
        else:
            finite = "weights of all layers" if watch is None else "data and the weights of all layers"
            where = f"the {finite} are still finite, so look at the range of the labels and the loss function"
        raise ModelError(
            f"{place}; {where}. {state} Compile it with a lower learning rate or with clipped gradients (optimizer "
            "argument clipnorm=1.0)."
        )

    def _variables(self) -> list[Any]:
        model: Any = self.model
        return list(model.variables)

    def _broken_layers(self) -> list[str]:
        """Paths of the layers with variables that are not finite, in the order of the model."""

        def broken(layer: Any) -> bool:
            arrays = [np.asarray(v) for v in layer.variables]
            return any(a.dtype.kind == "f" and not np.isfinite(a).all() for a in arrays)

        return [path for path, layer in graph_layers(self._student) if broken(layer)]
