"""Settings of a simulation: what is refused, and how many points they give."""

from __future__ import annotations

import json

import numpy as np
import pytest

from converters.errors import OptionError
from tfmpq.simulation import SimulationSettings

ERRORS = np.array([[4.0, 9.0, 1.0, 0.5], [1.0, 1.0, 0.1, 0.1], [0.1, 0.2, 0.05, 0.01]])
ENERGY = np.full(4, 10.0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"bits": 1}, r"bits=1 is out of range.*2 to 8"),
        ({"bits": True}, "bits=True is out of range"),
        ({"max_points": 5}, r"max_points=5 .*1 to 4"),
        (
            {"algorithm": "radix"},
            r"algorithm='radix' cannot be simulated.*no calibration data.*'nearest_radix', 'greedy'",
        ),
        ({"points": 3, "max_points": 2}, r"points=3 .*1 to 2"),
        ({"points": 5}, r"points=5 .*1 to 4"),
        ({"points": [1, 0]}, "points=0 is out of range"),
        ({"points": "2"}, "points='2' is out of range"),
        ({"points": 1, "share": 0.5}, r"points=1 and share=0\.5 contradict"),
        ({"share": 1.5}, r"share=1\.5 .*between 0 and 1"),
        ({"epsilon": float("nan")}, "epsilon=nan is out of range"),
        ({"epsilon": None}, "epsilon=None"),
    ],
)
def test_refused(options: dict[str, object], message: str):
    with pytest.raises(OptionError, match=message):
        SimulationSettings(**options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "settings",
    [
        SimulationSettings(),
        SimulationSettings(3, 4, "greedy", points=[1, 4, 2]),
        SimulationSettings(share=0.25, epsilon=0.5),
    ],
)
def test_config_round_trip(settings: SimulationSettings):
    again = SimulationSettings.from_config(json.loads(json.dumps(settings.to_config())))
    assert again == settings
    assert hash(again) == hash(settings)


def test_config_with_an_unknown_name():
    with pytest.raises(OptionError, match=r"bit=4 is no setting; known are bits, max_points"):
        SimulationSettings.from_config({"bit": 4})


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"epsilon": 0.1}, [2, 2, 1, 1]),  # squared errors up to 1 are small enough
        ({"epsilon": 0.05}, [3, 3, 2, 1]),
        ({"epsilon": 0.0}, [3, 3, 3, 3]),  # never small enough: the most there are
        ({"share": 0.5}, [3, 3, 1, 1]),  # those that gain most
        ({"share": 0.25}, [1, 3, 1, 1]),
        ({"points": 2}, [2, 2, 2, 2]),
        ({"points": (1, 3, 2, 1)}, [1, 3, 2, 1]),
    ],
)
def test_counts(options: dict[str, object], expected: list[int]):
    settings = SimulationSettings(max_points=3, **options)  # type: ignore[arg-type]
    assert settings.counts(ERRORS, ENERGY).tolist() == expected


def test_points_of_another_layer():
    with pytest.raises(OptionError, match="points lists 2 channels, but the weight has 4"):
        SimulationSettings(points=(1, 2)).counts(ERRORS, ENERGY)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, 2),
        ({"bits": 8}, 1),  # 8-bit activations cannot show a second point
        ({"bits": 8, "share": 0.1}, 2),
        ({"points": (1, 3, 1)}, 3),
        ({"points": 1}, 1),
        ({"max_points": 4}, 4),
    ],
)
def test_max_points_by_default(options: dict[str, object], expected: int):
    assert SimulationSettings(**options).max_points == expected  # type: ignore[arg-type]
