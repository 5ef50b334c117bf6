"""What simulated layers read on representative data, for quantizers to start from."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import Any

import keras
import numpy as np

from tfmpq.data.representative import RepresentativeData
from tfmpq.keras.wrappers import Simulate

_SAMPLES = 64  # a mean of magnitudes needs few


class _Magnitudes:
    """Mean and largest magnitude of all values it is given."""

    def __init__(self) -> None:
        self._total, self._count, self.largest = 0.0, 0, 0.0

    def __call__(self, values: Any) -> None:
        magnitudes = np.abs(np.asarray(values, np.float64))
        self._total += float(magnitudes.sum())
        self._count += magnitudes.size
        self.largest = max(self.largest, float(magnitudes.max(initial=0.0)))

    @property
    def mean(self) -> float:
        return self._total / max(self._count, 1)


def start_inputs(simulated: Any, layers: Sequence[Simulate], data: RepresentativeData) -> None:
    """Runs the model with unrounded inputs, and starts the input quantizers of some of its layers.

    Args:
        simulated: the model.
        layers: layers of it that have an input quantizer.
        data: representative inputs.
    """
    if not layers:
        return
    seen = [_Magnitudes() for _ in layers]
    for layer, magnitudes in zip(layers, seen, strict=True):
        layer.observer = magnitudes
    structure = simulated.inputs[0] if isinstance(simulated, keras.Sequential) else simulated.input
    try:
        for sample in islice(data.originals(), _SAMPLES):
            leaves = [sample[spec.name] for spec in data.inputs]
            simulated(keras.tree.pack_sequence_as(structure, leaves), training=False)
    finally:
        for layer in layers:
            layer.observer = None
    for layer, magnitudes in zip(layers, seen, strict=True):
        layer.input_quantizer.start_at(magnitudes.mean, magnitudes.largest)
