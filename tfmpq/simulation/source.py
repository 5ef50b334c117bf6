"""What a model brings along for its own conversion: settings of its layers, or their points."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from converters.points import MultipointWeight, turned
from tfmpq.recipe.rules import Rule
from tfmpq.simulation.points import simulated_points
from tfmpq.simulation.settings import SimulationSettings

_WITH_DATA = {"nearest_radix": "radix", "greedy": "greedy"}
_STEPS, _LOWEST, _HIGHEST = 255, -128, 127  # of int8


@dataclass(frozen=True)
class InputCodes:
    """Activations that a layer was trained to read: ``scale * code``.

    Attributes:
        scale: learned step.
        low, high: smallest and largest code; low is 0 for what is never negative, else -high.
    """

    scale: float
    low: int
    high: int

    @property
    def is_few(self) -> bool:
        """Whether it has fewer codes than int8."""
        return self.high < (_STEPS if self.low == 0 else _HIGHEST)

    def int8_ranges(self) -> tuple[tuple[float, float], ...]:
        """Ranges of int8 tensors, one behind the other, of which the last holds these activations exactly.

        Steps are the trained ones. Int8 saturates where its integers end, so that one tensor clips at one side: what is
        never negative has its largest code at 127, and signed values have theirs at 127 in a first tensor and their
        smallest at -128 in a second one, but for 8 bits, which are int8's own.
        """
        upper = ((self.high - _STEPS) * self.scale, self.high * self.scale)
        if self.low == 0:
            return (upper,)
        if not self.is_few:
            return ((_LOWEST * self.scale, _HIGHEST * self.scale),)
        return upper, (self.low * self.scale, (self.low + _STEPS) * self.scale)


@dataclass(frozen=True, eq=False)
class SimulatedLayer:
    """A layer that Keras already computes with its points.

    Attributes:
        settings: how its points are chosen.
        rows: float32 (C, d), the trained float weight behind them, rows as in
            :func:`tfmpq.simulation.points.channel_rows`.
        sign: (C,), 1 or -1: the sign of each row that was simulated.
        trained: the points of ``rows`` where training has learned them; None: they follow from settings and rows.
        reads: what training has learned of its input; None: nothing.
        trained_sign: (C,), 1 or -1: trained points are of ``rows`` times this; None: 1.
    """

    settings: SimulationSettings
    rows: np.ndarray
    sign: np.ndarray
    trained: MultipointWeight | None = None
    reads: InputCodes | None = None
    trained_sign: np.ndarray | None = None

    def export(self, sign: np.ndarray | None = None) -> MultipointWeight:
        """Its points, those of ``sign * rows``; by default those that it computes with."""
        signs = self.sign if sign is None else sign
        if self.trained is None:
            return simulated_points(self.rows, self.settings, signs).weight()
        own = 1 if self.trained_sign is None else self.trained_sign
        return turned(self.trained, signs * own < 0)


@dataclass(frozen=True, eq=False)
class Source:
    """What a model says about its own conversion.

    Attributes:
        model: what :func:`converters.frontend.load.load_model` takes. Simulated layers have their simulated weights.
        rules: settings of its layers; a recipe comes after them.
        simulated: Keras path of every simulated layer.
        handed_on: Keras path of a layer -> range of the int8 tensor that the simulation rounds what it hands on to.
    """

    model: object
    rules: tuple[Rule, ...] = ()
    simulated: Mapping[str, SimulatedLayer] = field(default_factory=dict)
    handed_on: Mapping[str, tuple[float, float]] = field(default_factory=dict)


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
