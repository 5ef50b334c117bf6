"""What simulated layers read on representative data, for quantizers to start from."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import Any

import keras
import numpy as np

from tfmpq.data.representative import RepresentativeData
from tfmpq.keras.source import find_wrappers
from tfmpq.keras.wrappers import Simulate

_SAMPLES = 64  # their values are alike from sample to sample
_VALUES = 4096  # of each sample: 2^18 in all tell squared errors to a per cent


class _Values:
    """Some of all values it is given, chosen by chance: memory does not grow with the size of the input."""

    def __init__(self) -> None:
        self._parts: list[np.ndarray] = []
        self._chance = np.random.default_rng(0)

    def __call__(self, values: Any) -> None:
        found = np.asarray(values, np.float32).ravel()
        if found.size > _VALUES:
            found = found[self._chance.integers(found.size, size=_VALUES)]
        self._parts.append(found)

    def all(self) -> np.ndarray:
        return np.concatenate(self._parts) if self._parts else np.zeros(0, np.float32)


def start_inputs(simulated: Any, layers: Sequence[Simulate], data: RepresentativeData) -> None:
    """Runs the model without any rounding, and starts the input quantizers of some of its layers.

    What they are to keep is what the float network has, so that weights which start from something else later on need
    no second run.


    Args:
        simulated: the model.
        layers: layers of it that have an input quantizer.
        data: representative inputs.
    """
    if not layers:
        return
    seen = {id(layer): _Values() for layer in layers}
    everywhere = find_wrappers(simulated).values()
    for layer in everywhere:
        layer.observer = seen.get(id(layer), _unheeded)
    structure = simulated.inputs[0] if isinstance(simulated, keras.Sequential) else simulated.input
    try:
        for sample in islice(data.originals(), _SAMPLES):
            leaves = [sample[spec.name] for spec in data.inputs]
            simulated(keras.tree.pack_sequence_as(structure, leaves), training=False)
    finally:
        for layer in everywhere:
            layer.observer = None
    for layer in layers:
        layer.input_quantizer.start_at(seen[id(layer)].all())


def _unheeded(values: Any) -> None:
    """For layers whose inputs are not asked for."""
