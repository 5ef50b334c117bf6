"""Points of a Keras weight without calibration data: what a simulation computes with and a conversion writes."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np

from converters.points import MultipointWeight
from tfmpq.algorithms import ALGORITHMS, Candidate, Problem
from tfmpq.algorithms.assembly import assemble
from tfmpq.simulation.settings import SimulationSettings


@dataclass(frozen=True, eq=False)
class SimulatedPoints:
    """A layer's points.

    Attributes:
        candidates: rows with 1, 2, ... points.
        counts: int64 (C,), how many of them each row has.
        bits: bits of the codes.
    """

    candidates: list[Candidate]
    counts: np.ndarray
    bits: int

    def weight(self) -> MultipointWeight:
        """The rows with the points they have."""
        return assemble(self.candidates, self.counts, self.bits)


def channel_rows(weight: np.ndarray, channel_axes: tuple[int, ...]) -> np.ndarray:
    """Keras weight -> (C, d), one row an output channel, rows and columns in the order .tflite files have them.

    Args:
        weight: of any layer.
        channel_axes: the axes of its output channels: (-1,) for convolutions and dense layers, (2, 3) for depthwise
            convolutions (kh, kw, inputs, multiplier), (2,) for transposed ones (kh, kw, outputs, inputs).
    """
    order = _channels_first(weight.ndim, channel_axes)
    channels = prod(weight.shape[axis] for axis in order[: len(channel_axes)])
    return weight.transpose(order).reshape(channels, -1)


def from_rows(rows: np.ndarray, shape: tuple[int, ...], channel_axes: tuple[int, ...]) -> np.ndarray:
    """Undoes :func:`channel_rows` for a weight of ``shape``."""
    order = _channels_first(len(shape), channel_axes)
    return rows.reshape([shape[axis] for axis in order]).transpose(np.argsort(order))


def _channels_first(dimensions: int, channel_axes: tuple[int, ...]) -> list[int]:
    first = [axis % dimensions for axis in channel_axes]
    return [*first, *(axis for axis in range(dimensions) if axis not in first)]


def simulated_points(rows: np.ndarray, settings: SimulationSettings, sign: np.ndarray | None = None) -> SimulatedPoints:
    """Points of ``sign * rows``, by weight error alone.

    Folding a batch normalization multiplies each row by a factor. A positive one only changes its scales, but a
    negative one turns the codes around too, and low-bit codes reach one further down than up (-8..7): so the points are
    chosen for the sign that the row has in the file.

    Args:
        rows: float32 (C, d), finite.
        settings: what is wanted.
        sign: (C,), 1 or -1; None: all 1.
    """
    signed = rows.astype(np.float64) if sign is None else rows * sign.astype(np.float64)[:, None]
    channels, columns = signed.shape
    problem = Problem(signed[None], np.ones((1, columns)), settings.bits, np.zeros((1, channels)))
    candidates = ALGORITHMS[settings.algorithm].quantize(problem, settings.max_points)
    counts = settings.counts(np.stack([c.error for c in candidates]), (signed**2).sum(axis=1))
    return SimulatedPoints(candidates, counts, settings.bits)


def simulate(
    weight: np.ndarray, channel_axes: tuple[int, ...], settings: SimulationSettings, sign: np.ndarray | None = None
) -> np.ndarray:
    """The float32 weight that the points of ``weight`` stand for, in its own layout.

    Args:
        weight: float32, finite.
        channel_axes: see :func:`channel_rows`.
        settings: what is wanted.
        sign: see :func:`simulated_points`.
    """
    real = simulated_points(channel_rows(weight, channel_axes), settings, sign).weight().reconstruct()
    signed = real if sign is None else real * sign.astype(np.float64)[:, None]
    return np.ascontiguousarray(from_rows(signed, weight.shape, channel_axes), np.float32)
