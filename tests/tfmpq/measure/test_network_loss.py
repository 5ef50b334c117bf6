from __future__ import annotations

import numpy as np
import pytest

from tests.support.pipeline import residual
from tfmpq.measure.network_loss import NetworkLoss
from tfmpq.measure.sensitivity import (
    RoundedWeight,
    input_feeds,
    joined,
    measure_layers,
    output_distance,
    run_from,
    with_weight,
)
from tfmpq.progress import Progress


def test_one_layer_costs_what_its_sensitivity_says_and_none_costs_nothing():
    converted = residual()
    layer = converted.layers["conv"]
    biases = tuple(use.bias for use in layer.uses)
    loss = NetworkLoss(converted.graph, converted.samples)
    assert loss([]) == 0.0
    assert loss([(layer, RoundedWeight(layer.weight, biases))]) == 0.0
    coarse = RoundedWeight(np.round(layer.weight, 1), biases)
    alone = measure_layers(converted.graph, [layer], {"conv": coarse}, converted.samples, progress=Progress(False))
    assert loss([(layer, coarse)]) > 0
    # Sensitivity shares the sum of all costs out to layers, and there is one; it runs from cached activations on.
    assert loss([(layer, coarse)]) == pytest.approx(alone["conv"], rel=1e-3)


def test_all_layers_are_in_place_at_once():
    converted = residual()
    loss = NetworkLoss(converted.graph, converted.samples)
    both = [
        (layer, RoundedWeight(np.round(layer.weight, 1), tuple(use.bias for use in layer.uses)))
        for layer in (converted.layers["conv"], converted.layers["project"])
    ]
    alone = [loss([one]) for one in both]
    assert loss(both) not in alone
    graph, feeds = converted.graph.graph, input_feeds(converted.graph, converted.samples)
    changed = with_weight(with_weight(converted.graph, *both[0]), *both[1])
    outputs = [joined(run_from(m, graph.inputs, m.graph.outputs, feeds)) for m in (converted.graph, changed)]
    assert loss(both) == output_distance(*outputs, probability=True)
