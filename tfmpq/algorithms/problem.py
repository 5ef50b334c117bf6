"""What every algorithm is given and what it returns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from tfmpq.algorithms.blocks import over_blocks, split
from tfmpq.algorithms.evidence import NO_EVIDENCE, Evidence
from tfmpq.algorithms.exact import precise_product

# Of a row's energy: what float32 makes of a row and its scale; rows of 16 bits leave hundreds of times as much.
_EXACT = 2.0**-42


@dataclass(frozen=True)
class Problem:
    """One layer's rounding problem, rows gathered by the input group they read.

    Attributes:
        weight: float64 (G, R, d); row r of group g is output channel g * R + r.
        moment: float64 second moment of the layer's inputs, (G, d, d), or blocks (B, b, b) of a layer too wide for that
            (:mod:`tfmpq.algorithms.blocks`), or only its diagonal (G, d). Centred (a covariance) where the bias absorbs
            the mean.
        bits: bits of every code.
        scale_floor: float64 (G, R), smallest scale a row may use (keeps its bias within int32). Raised to the next
            normal float32, so that whatever scale is chosen survives being stored. All-zero rows take it.
        lowest: whether one-point rows may hold the lowest code of two's complement.
        evidence: what else the algorithm asked for.
        shared: where an algorithm may keep what it makes of the moment, for other rows of the same layer.
    """

    weight: np.ndarray
    moment: np.ndarray
    bits: int
    scale_floor: np.ndarray
    evidence: Evidence = NO_EVIDENCE
    shared: dict[str, Any] = field(default_factory=dict)
    lowest: bool = True

    def __post_init__(self) -> None:
        floor = np.maximum(self.scale_floor, np.finfo(np.float32).tiny)
        nearest = floor.astype(np.float32)
        above = np.where(nearest < floor, np.nextafter(nearest, np.float32(np.inf)), nearest)
        object.__setattr__(self, "scale_floor", above.astype(np.float64))

    @cached_property
    def energy(self) -> np.ndarray:
        """(G, R), mean squared output of each row."""
        return output_error(self.weight, self.moment)


@dataclass(frozen=True)
class Candidate:
    """All rows quantized with the same number of points.

    Attributes:
        codes: int8 (n, C, d), most significant point first.
        scales: float32 (n, C).
        error: float64 (C,), output error dw^T moment dw of each row.
    """

    codes: np.ndarray
    scales: np.ndarray
    error: np.ndarray


def output_error(delta: np.ndarray, moment: np.ndarray) -> np.ndarray:
    """Mean squared output error of each row.

    Args:
        delta: (G, R, d) weight error.
        moment: (G, d, d), blocks (B, b, b) or diagonal (G, d).

    Returns:
        (G, R) array ``delta^T moment delta``.
    """
    if moment.ndim == 2:
        return np.einsum("grd,grd,gd->gr", delta, delta, moment)
    # Rounding can leave a tiny negative where the moment is singular.
    parts = split(delta, len(moment))
    errors = over_blocks(np.einsum("grd,grd->gr", precise_product(parts, moment), parts), len(delta))
    return np.maximum(errors, 0.0)


def join_rows(parts: Iterator[Sequence[Candidate]], groups: int, rows: int) -> tuple[Candidate, ...]:
    """Candidates of some rows of every group after another -> those of all rows.

    Args:
        parts: candidates with 1, 2, ... points of the next rows of each group.
        groups, rows: how many groups there are, and rows in each.
    """
    joined: list[Candidate] = []
    first = 0
    for candidates in parts:
        count = candidates[0].codes.shape[1] // groups
        for number, candidate in enumerate(candidates):
            points, _, columns = candidate.codes.shape
            if len(joined) == number:
                channels = groups * rows
                codes, scales = np.empty((points, channels, columns), np.int8), np.empty((points, channels), np.float32)
                joined.append(Candidate(codes, scales, np.empty(channels)))
            for ours, theirs in zip(_by_group(joined[number], groups), _by_group(candidate, groups), strict=True):
                ours[:, :, first : first + count] = theirs
        first += count
    return tuple(joined)


def _by_group(candidate: Candidate, groups: int) -> tuple[np.ndarray, ...]:
    """Codes, scales and error as (n, G, R, ...)."""
    points, _, columns = candidate.codes.shape
    return (
        candidate.codes.reshape(points, groups, -1, columns),
        candidate.scales.reshape(points, groups, -1),
        candidate.error.reshape(1, groups, -1),
    )


def make_candidate(problem: Problem, codes: list[np.ndarray], scales: list[np.ndarray]) -> Candidate:
    """Flattens groups and measures the error of what float32 scales really give.

    Args:
        problem: the problem the codes answer.
        codes: integer arrays (G, R, d), one a point.
        scales: float arrays (G, R), one a point.
    """
    groups, rows, columns = problem.weight.shape
    stored = [s.astype(np.float32) for s in scales]
    real = np.zeros(problem.weight.shape)
    for c, s in zip(codes, stored, strict=True):
        real += c * s.astype(np.float64)[..., None]
    real -= problem.weight
    error = output_error(real, problem.moment)
    error[error <= _EXACT * problem.energy] = 0.0
    flat_codes = np.stack([c.reshape(groups * rows, columns) for c in codes]).astype(np.int8)
    return Candidate(flat_codes, np.stack([s.reshape(-1) for s in stored]), error.reshape(-1))
