"""A seed -> a small random Keras network, data for it, and options of a conversion.

Weights are drawn here, not by Keras, so that a seed is the same network on every machine. Half of all normalizations'
scales are negative, rows differ in size, and one network in four has inputs or weights of an odd order of magnitude.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from converters.frontend.keras_checks import layers as sublayers
from converters.lowering.forms import lowerings
from converters.targets.files import MEASURED, target_names
from tests.fuzz.nets import Net

_SAMPLES = (1, 4, 12, 24, 40)
_JUDGED = 200  # on fewer, stock and a file of the same noise differ by several dB


@dataclass(frozen=True, eq=False)
class Case:
    """One network.

    Attributes:
        model: Keras 3.
        data: samples to convert with, dicts by input name with batch dimension 1.
        judged: others of the same kind, to judge files by.
        options: of :func:`tfmpq.convert`.
        fine: whether they leave nothing coarser than stock's int8.
    """

    model: Any
    data: list[dict[str, np.ndarray]]
    judged: list[dict[str, np.ndarray]]
    options: dict[str, Any]
    fine: bool


def make(seed: int) -> Case:
    """The case of a seed; every second one asks for 8 bits, or for all points of its rows."""
    rng = np.random.default_rng(seed)
    net = Net(rng)
    model = net.build(f"net{seed}")
    _fill(model, rng)

    def sample() -> dict[str, np.ndarray]:
        return {i.name: _values(rng, i.shape[1:], net.ranges[i.name]) for i in model.inputs}

    fine = seed % 2 == 0
    options = _options(rng, fine=fine)
    data, judged = ([sample() for _ in range(n)] for n in (net.pick(_SAMPLES), _JUDGED))
    return Case(model, data, judged, options, fine)


def _options(rng: np.random.Generator, *, fine: bool) -> dict[str, Any]:
    """Options, of the kind that ``fine`` says."""
    from tfmpq import Epsilon, ExtraBits

    options: dict[str, Any] = {
        "lowering": str(rng.choice(lowerings())),
        "io_dtype": str(rng.choice(["int8", "uint8", "float32"])),
        "sensitivity": str(rng.choice(["energy", "energy", "auto", "kl"])),
        "progress": False,
    }
    if fine:
        return options | ({"bits": 8} if rng.random() < 0.6 else {"bits": 4, "budget": ExtraBits(3.0)})
    options["bits"] = int(rng.integers(2, 9))
    options["budget"] = [ExtraBits(0.0), ExtraBits(0.1), ExtraBits(0.5), Epsilon(0.01)][rng.integers(4)]
    options["algorithm"] = str(rng.choice(["radix", "radix", "nearest_radix", "greedy", "nearest"]))
    options["optimize"] = str(rng.choice(["file", "download"]))
    # What targets without times of their own take does not hold every form that is asked for.
    options["target"] = str(rng.choice(target_names() if options["lowering"] == "auto" else MEASURED))
    return options


def _values(rng: np.random.Generator, shape: Sequence[int], size: float) -> np.ndarray:
    return (rng.normal(0, 1, (1, *shape)) * size).astype(np.float32)


def _fill(model: Any, rng: np.random.Generator) -> None:
    """Draws every weight."""
    size = rng.choice([1e-3, 30.0]) if rng.random() < 0.12 else 1.0
    for _, layer in sublayers(model):
        for weight in getattr(layer, "weights", ()) if not hasattr(layer, "layers") else ():
            shape = tuple(weight.shape)
            kind = weight.name
            if kind == "gamma":
                values = rng.uniform(0.3, 1.7, shape) * rng.choice([-1, 1], shape)
            elif kind == "moving_variance":
                values = rng.uniform(0.2, 2, shape)
            elif "kernel" in kind:
                rows = np.exp(rng.normal(0, 0.7, shape[-1]))
                values = rng.normal(0, 1, shape) * rows * size / np.sqrt(max(np.prod(shape[:-1]), 1))
            else:
                values = rng.normal(0, 0.2, shape)
            weight.assign(values.astype(np.float32))
