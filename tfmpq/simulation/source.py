"""What a model brings along for its own conversion: settings of its layers, or their points."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from converters.points import MultipointWeight
from tfmpq.recipe.rules import Rule
from tfmpq.simulation.points import simulated_points
from tfmpq.simulation.settings import SimulationSettings

_WITH_DATA = {"nearest_radix": "radix", "greedy": "greedy"}


@dataclass(frozen=True, eq=False)
class SimulatedLayer:
    """A layer that Keras already computes with its points.

    Attributes:
        settings: how its points are chosen.
        rows: float32 (C, d), the trained float weight behind them, rows as in
            :func:`tfmpq.simulation.points.channel_rows`.
        sign: (C,), 1 or -1: the sign of each row that was simulated.
    """

    settings: SimulationSettings
    rows: np.ndarray
    sign: np.ndarray

    def export(self, sign: np.ndarray | None = None) -> MultipointWeight:
        """Its points, those of ``sign * rows``; by default those that it computes with."""
        return simulated_points(self.rows, self.settings, self.sign if sign is None else sign).weight()


@dataclass(frozen=True, eq=False)
class Source:
    """What a model says about its own conversion.

    Attributes:
        model: what :func:`converters.frontend.load.load_model` takes. Simulated layers have their simulated weights.
        rules: settings of its layers; a recipe comes after them.
        simulated: Keras path of every simulated layer.
    """

    model: object
    rules: tuple[Rule, ...] = ()
    simulated: Mapping[str, SimulatedLayer] = field(default_factory=dict)


def layer_rules(settings: Mapping[str, SimulationSettings], *, simulated: bool) -> tuple[Rule, ...]:
    """Rules for the layers of a model by what its layers were annotated with.

    Layers without settings take 8 bits: whoever chooses layers means to leave the others alone. The settings of an
    annotated layer are for the algorithms that use calibration data, those of a simulated one are final.

    Args:
        settings: by Keras path.
        simulated: whether the layers are simulated.
    """
    if not settings:
        return ()
    rules = [Rule(".*", bits=8)]
    for path, chosen in settings.items():
        algorithm = chosen.algorithm if simulated else _WITH_DATA[chosen.algorithm]
        # A Keras layer that becomes several operators has names with a colon.
        match = f"^{re.escape(path)}(:|$)"
        rules.append(Rule(match, bits=chosen.bits, max_points=chosen.max_points, algorithm=algorithm))
    return tuple(rules)
