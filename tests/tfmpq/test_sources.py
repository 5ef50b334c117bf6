"""Models that bring settings along, and those that do not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tfmpq.recipe.rules import LayerSettings, Recipe
from tfmpq.simulation import SimulationSettings
from tfmpq.simulation.source import layer_rules
from tfmpq.sources import read_source

DEFAULT = LayerSettings(5, 3, "nearest", "auto")


@pytest.mark.parametrize("simulated", [False, True])
def test_rules(simulated: bool):
    chosen = {
        "block/conv": SimulationSettings(3, 1),
        "a+b": SimulationSettings(2, 4, "greedy"),
    }
    recipe = Recipe(layer_rules(chosen, simulated=simulated))
    radix = "nearest_radix" if simulated else "radix"
    expected = {
        "block/conv": (3, 1, radix),
        "block/conv:depthwise": (3, 1, radix),  # one of several operators of the layer
        "a+b": (2, 4, "greedy"),
        "block/conv2": (8, 3, "nearest"),
        "my_block/conv": (8, 3, "nearest"),
        "aab": (8, 3, "nearest"),
    }
    for name, (bits, points, algorithm) in expected.items():
        found = recipe.resolve(name, DEFAULT)
        assert (found.bits, found.max_points, found.algorithm) == (bits, points, algorithm), name


def test_no_settings_no_rules():
    assert layer_rules({}, simulated=False) == ()


def test_plain_models_come_back(conv_net: Any, conv_net_float: bytes, conv_net_path: Path):
    for model in (conv_net, conv_net_float, conv_net_path, str(conv_net_path), type(conv_net), object()):
        source = read_source(model)
        assert source.model is model
        assert source.rules == ()
        assert not source.simulated
