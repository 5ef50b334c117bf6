"""Training that begins with the rows which conversion would choose, and not with the nearest codes."""

from __future__ import annotations

from typing import Any

import numpy as np

from tfmpq.keras.kernels import CHANNEL_AXES, kernel_of
from tfmpq.keras.source import find_wrappers, without_wrappers
from tfmpq.simulation.points import from_rows
from tfmpq.training.learned_step import LearnedStep
from tfmpq.training.levels import LearnedLevels
from tfmpq.training.planned import one_point_layers
from tfmpq.training.planned_student import bias_of, scale_behind

_INSIDE = 0.45  # of a step: how far from its code a weight may start, so that the first update does not turn it over


def start_from_points(student: Any, model: Any, rep_dataset: object) -> None:
    """Sets steps, weights and biases of a model in training to what post-training points give.

    Rounding with feedback makes up in each code for the errors of those before it. A weight that it did not round to
    the nearest code starts at the edge between both; the other ones are what they were.

    Args:
        student: from :func:`tfmpq.training.start.start_training`; its layers with a learned step or a
            scale a row are changed.
        model: what it was made from, float or annotated.
        rep_dataset: representative inputs, as for :func:`tfmpq.convert`.
    """
    layers = {path: layer for path, layer in find_wrappers(student).items() if _has_rows(layer.quantizer)}
    bits = {path: layer.quantizer.bits for path, layer in layers.items()}
    planned = one_point_layers(without_wrappers(model), rep_dataset, bits)
    for path, own in planned.items():
        layer = layers[path]
        quantizer, kernel, axes = layer.quantizer, kernel_of(layer.layer), CHANNEL_AXES[type(layer.layer)]
        quantizer.start_on(own.signs * own.steps)
        steps, signs = own.steps[:, None], own.signs[:, None]  # rows are those of the file
        codes = np.clip(own.integers, quantizer.low, quantizer.high)
        scaled = signs * quantizer.rows(np.asarray(kernel)) / steps
        rows = np.clip(codes + np.clip(scaled - codes, -_INSIDE, _INSIDE), quantizer.low, quantizer.high)
        kernel.assign(from_rows((signs * rows * steps).astype(np.float32), kernel.shape, axes))
        bias = bias_of(layer)
        if bias is not None:
            bias.assign(np.asarray(bias) + own.bias_change / scale_behind(layer, own))


def _has_rows(quantizer: Any) -> bool:
    return isinstance(quantizer, (LearnedStep, LearnedLevels)) and quantizer.per_channel
