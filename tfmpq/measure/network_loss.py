"""What rounding costs at the network's output, of many layers at once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from converters.layers.layer import Layer
from converters.tflite.graph import Model
from tfmpq.measure.sensitivity import (
    RoundedWeight,
    input_feeds,
    is_probability,
    joined,
    output_distance,
    run_from,
    with_weight,
)


class NetworkLoss:
    """Divergence, or normalized squared error, of a network's outputs from those of its float weights.

    Args:
        model: float.
        samples: inputs by name; the network runs on all of them, each time.
        temperature: what logits of a probability output are divided by before they are compared.
    """

    def __init__(self, model: Model, samples: Sequence[dict[str, np.ndarray]], *, temperature: float = 1.0) -> None:
        self._model = model
        self._feeds = input_feeds(model, samples)
        self._temperature = temperature
        self._probability = is_probability(model.graph)
        self._reference = joined(self._outputs(model))

    def __call__(self, rounded: Sequence[tuple[Layer, RoundedWeight]]) -> float:
        """The loss with these weights in the place of the layers' own."""
        model = self._model
        for layer, weight in rounded:
            model = with_weight(model, layer, weight)
        found = joined(self._outputs(model))
        return output_distance(self._reference, found, probability=self._probability, temperature=self._temperature)

    def _outputs(self, model: Model) -> list[list[np.ndarray]]:
        return run_from(model, list(model.graph.inputs), model.graph.outputs, self._feeds)
