"""How the weights of one layer are simulated, without calibration data: inside Keras there are none."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from converters.errors import OptionError
from converters.points import MAX_BITS, MAX_POINTS, MIN_BITS
from tfmpq.algorithms.epsilon import epsilon_counts

DATA_FREE = ("nearest_radix", "greedy")


@dataclass(frozen=True)
class SimulationSettings:
    """Points of one layer, chosen by the weight alone.

    How many points a channel has is said by ``points`` or ``share``; where both are None by the multipoint paper's
    rule on the weight's own error: a channel takes points until its squared error is at most ``epsilon`` of its
    squared weight.

    Attributes:
        bits: bits of a point, 2..8.
        max_points: most points a channel may have, 1..4; 0: as many as ``points`` says, else 2, and 1 at 8 bits.
        algorithm: ``"nearest_radix"`` (all scales of a channel on one combined grid, so that its points merge into one
            int8 row) or ``"greedy"`` (the paper's; its points stay apart).
        points: points of every channel, or of each channel in turn.
        share: share of the channels that have ``max_points`` points, those first that gain most; the others have one.
        epsilon: relative squared error a channel may keep.

    Raises:
        OptionError: A value is out of range, or ``points`` and ``share`` are both given.
    """

    bits: int = 4
    max_points: int = 0
    algorithm: str = "nearest_radix"
    points: int | Sequence[int] | None = None
    share: float | None = None
    epsilon: float = 0.01

    def __post_init__(self) -> None:
        _integer("bits", self.bits, MIN_BITS, MAX_BITS)
        if isinstance(self.points, Sequence) and not isinstance(self.points, str):
            object.__setattr__(self, "points", tuple(self.points))
        single: list[Any] = [] if self.points is None else [self.points]
        listed = list(self.points) if isinstance(self.points, tuple) else single
        for value in listed:
            _integer("points", value, 1, self.max_points or MAX_POINTS)
        if self.max_points == 0:
            usual = 1 if self.bits == 8 and self.share is None else 2
            object.__setattr__(self, "max_points", max(listed, default=usual))
        _integer("max_points", self.max_points, 1, MAX_POINTS)
        if self.algorithm not in DATA_FREE:
            raise OptionError(
                f"algorithm={self.algorithm!r} cannot be simulated: inside Keras there are no calibration data. Choose "
                f"one of {', '.join(map(repr, DATA_FREE))}."
            )
        if self.points is not None and self.share is not None:
            raise OptionError(f"points={self.points!r} and share={self.share!r} contradict each other; give one.")
        if self.points is not None:  # conversion asks how points may merge, which depends on the most there are
            object.__setattr__(self, "max_points", int(np.max(self.points)))
        _fraction("share", self.share)
        _fraction("epsilon", self.epsilon)
        if self.epsilon is None:
            raise OptionError("epsilon=None: give a relative error between 0 and 1.")

    def to_config(self) -> dict[str, Any]:
        """Plain values for a Keras config; :meth:`from_config` reads them."""
        config = dataclasses.asdict(self)
        if isinstance(self.points, tuple):
            config["points"] = list(self.points)
        return config

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> SimulationSettings:
        """Reads what :meth:`to_config` writes.

        Raises:
            OptionError: An unknown name or a bad value.
        """
        known = [field.name for field in dataclasses.fields(cls)]
        for name in config:
            if name not in known:
                raise OptionError(f"{name}={config[name]!r} is no setting; known are {', '.join(known)}.")
        return cls(**config)

    def check_channels(self, channels: int) -> None:
        """Raises an :class:`OptionError` if ``points`` lists another number of channels than the weight has."""
        if isinstance(self.points, tuple) and len(self.points) != channels:
            raise OptionError(f"points lists {len(self.points)} channels, but the weight has {channels}.")

    def counts(self, errors: np.ndarray, energy: np.ndarray) -> np.ndarray:
        """Points of every channel.

        Args:
            errors: (max_points, C), squared weight error with 1, 2, ... points.
            energy: (C,), squared weight.

        Returns:
            int64 (C,).

        Raises:
            OptionError: See :meth:`check_channels`.
        """
        channels = len(energy)
        self.check_channels(channels)
        if isinstance(self.points, tuple):
            return np.array(self.points, np.int64)
        if self.points is not None:
            return np.full(channels, self.points, np.int64)
        if self.share is not None:
            counts = np.ones(channels, np.int64)
            best = np.argsort(errors[-1] - errors[0], kind="stable")
            counts[best[: round(self.share * channels)]] = self.max_points
            return counts
        return epsilon_counts(errors, energy, self.epsilon)


def _integer(name: str, value: object, low: int, high: int) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or not low <= value <= high:
        raise OptionError(f"{name}={value!r} is out of range; give a whole number from {low} to {high}.")


def _fraction(name: str, value: object) -> None:
    if value is None:
        return
    if (
        isinstance(value, bool)
        or not isinstance(value, (int, float))
        or not math.isfinite(value)
        or not 0 <= value <= 1
    ):
        raise OptionError(f"{name}={value!r} is out of range; give a number between 0 and 1.")
