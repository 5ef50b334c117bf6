"""What every algorithm is given and what it returns."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tfmpq.algorithms.evidence import NO_EVIDENCE, Evidence

# Of a row's energy: what float32 makes of a row and its scale; rows of 16 bits leave hundreds of times as much.
_EXACT = 2.0**-42


@dataclass(frozen=True)
class Problem:
    """One layer's rounding problem, rows gathered by the input group they read.

    Attributes:
        weight: float64 (G, R, d); row r of group g is output channel g * R + r.
        moment: float64 second moment of the layer's inputs, (G, d, d), or only its diagonal (G, d) for layers too
            wide for a full matrix. Centred (a covariance) where the bias absorbs the mean.
        bits: bits of every code.
        scale_floor: float64 (G, R), smallest scale a row may use (keeps its bias within int32). Raised to the next
            normal float32, so that whatever scale is chosen survives being stored. All-zero rows take it.
        evidence: what else the algorithm asked for.
    """

    weight: np.ndarray
    moment: np.ndarray
    bits: int
    scale_floor: np.ndarray
    evidence: Evidence = NO_EVIDENCE

    def __post_init__(self) -> None:
        floor = np.maximum(self.scale_floor, np.finfo(np.float32).tiny)
        nearest = floor.astype(np.float32)
        above = np.where(nearest < floor, np.nextafter(nearest, np.float32(np.inf)), nearest)
        object.__setattr__(self, "scale_floor", above.astype(np.float64))

    @property
    def is_diagonal(self) -> bool:
        """Whether only the diagonal of the moment is known."""
        return self.moment.ndim == 2


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
        moment: (G, d, d) or diagonal (G, d).

    Returns:
        (G, R) array ``delta^T moment delta``.
    """
    if moment.ndim == 2:
        return np.einsum("grd,gd->gr", delta**2, moment)
    # Rounding can leave a tiny negative where the moment is singular.
    return np.maximum(np.einsum("grd,grd->gr", delta @ moment, delta), 0.0)


def make_candidate(problem: Problem, codes: list[np.ndarray], scales: list[np.ndarray]) -> Candidate:
    """Flattens groups and measures the error of what float32 scales really give.

    Args:
        problem: the problem the codes answer.
        codes: integer arrays (G, R, d), one a point.
        scales: float arrays (G, R), one a point.
    """
    groups, rows, columns = problem.weight.shape
    stored = [s.astype(np.float32) for s in scales]
    real = sum(c * s.astype(np.float64)[..., None] for c, s in zip(codes, stored, strict=True))
    error = output_error(real - problem.weight, problem.moment)
    error[error <= _EXACT * output_error(problem.weight, problem.moment)] = 0.0
    flat_codes = np.stack([c.reshape(groups * rows, columns) for c in codes]).astype(np.int8)
    return Candidate(flat_codes, np.stack([s.reshape(-1) for s in stored]), error.reshape(-1))
