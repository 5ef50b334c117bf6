"""A Keras model that computes with the rows of a post-training plan, and units for training it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tfmpq.keras.folding import norm_factors
from tfmpq.keras.kernels import CHANNEL_AXES, kernel_of
from tfmpq.keras.quantizers import LayerToTrain, Quantizers
from tfmpq.keras.rebuild import Copies, graph_layers, rebuild
from tfmpq.keras.simulation import simulate_with
from tfmpq.keras.source import find_wrappers
from tfmpq.keras.wrappers import Annotate, Simulate
from tfmpq.simulation import SimulationSettings
from tfmpq.simulation.points import from_rows
from tfmpq.training.digits import Digits
from tfmpq.training.planned import PlannedLayer

_CALLER = "tfmpq.training.distill"


def student_of(model: Any, samples: Sequence[list[np.ndarray]], planned: Mapping[str, PlannedLayer]) -> Any:
    """A simulated model whose layers compute with the very integers of a plan, and with its biases.

    Args:
        model: the float model; not changed.
        samples: representative inputs, each a list in input order, for the ranges of activations.
        planned: its layers by path.
    """
    annotated = _annotated(model, planned)

    def make(layer: LayerToTrain) -> Quantizers:
        own = planned[layer.path]
        quantizer = Digits(own.bits, counts=own.counts.tolist(), lowest=own.lowest, channel_axes=layer.channel_axes)
        quantizer.start_at(own.steps, own.signs)
        return Quantizers(layer.settings, quantizer)

    student = simulate_with(annotated, samples, make, _CALLER)
    for path, layer in find_wrappers(student).items():
        bias = bias_of(layer)
        if bias is not None:
            bias.assign(np.asarray(bias) + planned[path].bias_change / scale_behind(layer, planned[path]))
    return student


def bias_of(layer: Simulate) -> Any | None:
    """The variable that is added to what the layer writes, channel by channel."""
    if layer.norm is not None:
        return layer.norm.beta
    return layer.layer.bias if layer.layer.use_bias else None


def units_of(student: Any, planned: Mapping[str, PlannedLayer]) -> dict[int, np.ndarray]:
    """What one step is for each variable that distillation trains, by the variable's id.

    Of a weight it is the step of its row's grid. Of a row's step and of a bias it is what changes the output about as
    much as one weight does that moves by a step: both act on whole rows, and would drown them in noise otherwise.
    """
    units = {}
    for path, layer in find_wrappers(student).items():
        own, quantizer = planned[path], layer.quantizer
        kernel = kernel_of(layer.layer)
        rows = np.broadcast_to(quantizer.step.value()[:, None], own.integers.shape)
        units[id(kernel)] = from_rows(rows, kernel.shape, CHANNEL_AXES[type(layer.layer)])
        for variable in quantizer.trainable_variables:
            units[id(variable)] = 1 / np.sqrt(np.square(own.integers).sum(axis=1) + 1.0)
        bias = bias_of(layer)
        if bias is not None:
            units[id(bias)] = own.spread / np.abs(scale_behind(layer, own))
    return units


def settle(student: Any) -> None:
    """Moves weights away from where rounding could fall either way; no integer changes."""
    for layer in find_wrappers(student).values():
        kernel = kernel_of(layer.layer)
        rows = layer.quantizer.settled(np.asarray(kernel))
        kernel.assign(from_rows(rows, kernel.shape, CHANNEL_AXES[type(layer.layer)]))


def _annotated(model: Any, planned: Mapping[str, PlannedLayer]) -> Any:
    """A copy of the model, its planned layers annotated; each weight is as near to the float one as its integer allows.

    Where feedback has chosen another integer than the nearest, training starts at the edge between the two.
    """
    paths = {id(layer): path for path, layer in graph_layers(model) if path in planned}

    def expand(layer: Any, copies: Copies) -> list[Any]:
        if id(layer) not in paths:
            return [copies(layer)]
        own = planned[paths[id(layer)]]
        settings = SimulationSettings(bits=own.bits, points=own.counts.tolist())
        return [Annotate(copies(layer), settings)]

    annotated = rebuild(model, expand)
    for path, wrapper in find_wrappers(annotated).items():
        own, axes = planned[path], CHANNEL_AXES[type(wrapper.layer)]
        kernel = kernel_of(wrapper.layer)
        quantizer = Digits(own.bits, counts=own.counts.tolist(), lowest=own.lowest, channel_axes=axes)
        quantizer.build(kernel.shape)
        quantizer.start_at(own.steps, own.signs)
        quantizer.start(np.asarray(kernel))
        rows = quantizer.settled(np.asarray(kernel), own.integers)
        kernel.assign(from_rows(rows, kernel.shape, axes))
    return annotated


def scale_behind(layer: Simulate, planned: PlannedLayer) -> np.ndarray:
    """(C,) what conversion multiplies into the row beside the layer's own normalization, 1 in most models."""
    own = 1.0 if layer.norm is None else norm_factors(layer.norm, len(planned.factors))
    ratio = planned.factors / np.where(own == 0, 1.0, own)
    return np.where(ratio == 0, 1.0, ratio)
