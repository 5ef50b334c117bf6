"""What `tfmpq.convert` is given: a plain model, or one annotated or simulated by a Keras plugin of this package."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from converters.frontend.keras_checks import generation, is_tfmot_model
from tfmpq.keras_marks import is_annotated_or_simulated, is_annotated_or_simulated_file
from tfmpq.recipe.rules import Rule
from tfmpq.simulation.settings import SimulationSettings

_WITH_DATA = {"nearest_radix": "radix", "greedy": "greedy"}


@dataclass(frozen=True, eq=False)
class SimulatedLayer:
    """A layer that Keras already computes with its points.

    Attributes:
        settings: how its points are chosen.
        rows: float32 (C, d), the trained float weight behind them, rows as in :func:`channel_rows`.
        sign: (C,), 1 or -1: the sign of each row that was simulated.
    """

    settings: SimulationSettings
    rows: np.ndarray
    sign: np.ndarray


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


def read_source(model: object) -> Source:
    """Takes the plugins' wrappers off a Keras model, or off that in a file; everything else comes back as it is.

    Raises:
        ModelError: The float model inside cannot be recovered.
    """
    if isinstance(model, Source):
        return model
    if isinstance(model, type):
        return Source(model)
    if isinstance(model, (str, os.PathLike)):
        return _read_file(model)
    keras_generation = generation(model)
    if keras_generation == 2 and is_tfmot_model(model):
        from tfmpq.quantize_config.models import read

        return read(model)
    if keras_generation == 3:
        return _read_keras3(model)
    return Source(model)


def _read_keras3(model: Any) -> Source:
    if not is_annotated_or_simulated(model):
        return Source(model)
    from tfmpq.keras.source import read

    return read(model)


def _read_file(path: str | os.PathLike[str]) -> Source:
    if not is_annotated_or_simulated_file(path):
        return Source(path)
    from tfmpq.keras.source import load, read

    return read(load(path))


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
