from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from converters.targets import load_target
from tests.support.pipeline import residual
from tfmpq.plan.budgeting import plan_layers
from tfmpq.plan.choice import Chooser
from tfmpq.plan.weighing import output_energy
from tfmpq.recipe.budgets import Budget, Epsilon, ExtraBits
from tfmpq.stages import LayerSettings, Planned, Weighed

TARGET = load_target("xnnpack")


def plan(layers: list[Weighed], budget: Budget) -> dict[str, Planned]:
    def unneeded(_: list[Planned]) -> Any:
        pytest.fail("no file is needed to meet this budget")

    network = residual().network
    chooser = Chooser(layers, TARGET, network.stock.graph, network.base.graph)
    planned = plan_layers(
        chooser, budget, network=network, size=unneeded, convert=unneeded, eight_bits=lambda: unneeded([])
    )
    return {layer.name: layer for layer in planned}


@pytest.mark.parametrize(("algorithm", "expected"), [("radix", 2), ("greedy", 1)])
def test_epsilon_is_relative_to_what_the_algorithm_minimizes(algorithm: str, expected: int):
    """Variance where the bias takes the mean, mean square where it does not."""
    layer = residual().weighed("project", LayerSettings(4, 2, algorithm, "parallel"), np.ones((16, 1)))
    centred, raw = output_energy(layer), output_energy(layer, centred=False)
    far = raw > 1.2 * centred
    assert far.any()
    between = np.sqrt(raw * centred)
    candidates = tuple(replace(c, error=e) for c, e in zip(layer.candidates, (between, 0 * between), strict=True))
    planned = plan([replace(layer, candidates=candidates)], Epsilon(1.0))["project"]
    assert set(planned.counts[far]) == {expected}


def test_given_points_are_no_part_of_the_budget():
    """Their layer keeps its points, and what others may spend does not grow with its size."""
    settings = LayerSettings(4, 2, "radix", "parallel")
    gains = np.linspace(2.0, 1.0, 16)[:, None]
    free = residual().weighed("project", settings, gains)
    other = residual().weighed("conv", settings, np.ones((residual().layers["conv"].channels, 1)))
    ones = np.ones(other.layer.channels, np.int64)
    given = replace(other, given=other.weight(ones), given_counts=ones)
    alone = plan([free], ExtraBits(0.25))["project"].counts
    both = plan([free, given], ExtraBits(0.25))
    np.testing.assert_array_equal(both["conv"].counts, ones)
    np.testing.assert_array_equal(both["project"].counts, alone)
    assert 0 < (alone == 2).sum() < 16
