"""Radix points: a row of n points is one uniform quantizer whose integers are cut into n low-bit digits.

Departs from the multipoint paper's greedy second point, whose first scale clips the tail; choosing both scales on
one combined grid is an exact uniform quantizer of 2^(bits n) levels (measured: -37 dB against -24 dB at 2 x 4 bits).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from converters.points import grid_limits, radix, split_digits
from tfmpq.algorithms.feedback import Prepared, damped, feedback_codes, polish, prepare, refit_step
from tfmpq.algorithms.grid import grid_step
from tfmpq.algorithms.problem import Candidate, Problem, make_candidate, output_error

_COARSE = np.geomspace(0.35, 1.0, 10)  # clip ratios tried against the row's unclipped scale
_NEIGHBOURS = np.array([0.93, 0.965, 1.035, 1.07])  # around the best of those
_FEW_LEVELS = 32  # grids of more levels hardly gain from clipping: fewer ratios are tried
_AFTER_FEEDBACK = (1.0, 0.94, 0.88, 1.06, 1.12)  # around the clip that is best before it: error -2 to -5 %


def unclipped_step(weight: np.ndarray, low: int, high: int) -> np.ndarray:
    """Smallest scale (G, R) at which no weight is clipped; 0 for all-zero rows."""
    return np.maximum(weight.max(axis=2) / high, weight.min(axis=2) / low).clip(min=0.0)


def _float32(step: np.ndarray) -> np.ndarray:
    return step.astype(np.float32).astype(np.float64)


def nearest_codes(weight: np.ndarray, step: np.ndarray, low: int, high: int) -> np.ndarray:
    """Round-to-nearest integers of rows (G, R, d) on the grids step * {low..high}; step is (G, R)."""
    return np.clip(np.rint(weight / step[..., None]), low, high)


def clip_search(weight: np.ndarray, moment: np.ndarray, floor: np.ndarray, low: int, high: int) -> np.ndarray:
    """Scale (G, R) of each row with the least output error of nearest rounding, by 1-D search.

    Args:
        weight: (G, R, d).
        moment: (G, d, d) or diagonal (G, d).
        floor: (G, R), smallest scale allowed.
        low, high: code range.
    """
    widest = unclipped_step(weight, low, high)
    # float32 halves the time; the winner is judged again by the caller.
    small_weight, small_moment = weight.astype(np.float32), moment.astype(np.float32)
    best = np.maximum(_float32(widest), floor)
    best_error = np.full(best.shape, np.inf)

    def attempt(step: np.ndarray) -> None:
        nonlocal best, best_error
        step = np.maximum(_float32(step), floor)
        small_step = step.astype(np.float32)
        codes = nearest_codes(small_weight, small_step, low, high)
        error = output_error(codes * small_step[..., None] - small_weight, small_moment)
        better = error < best_error
        best, best_error = np.where(better, step, best), np.where(better, error, best_error)

    few = high - low < _FEW_LEVELS
    for ratio in _COARSE[::-1] if few else _COARSE[:-5:-1]:
        attempt(widest * ratio)
    centre = best
    for ratio in _NEIGHBOURS:
        attempt(centre * ratio)
    return best


def quantize_radix(problem: Problem, max_points: int) -> list[Candidate]:
    """Rows with 1..max_points radix points, scales and codes chosen by output error.

    Output-weighted clip search, GPTQ feedback, coordinate descent with scale refit. Per row the best of nearest
    rounding, feedback and the same row with a point less is kept, so that the (damped) output error never exceeds
    nearest rounding's and never grows with the points.
    """
    return _quantize(problem, max_points, feedback=not problem.is_diagonal)


def quantize_nearest_radix(problem: Problem, max_points: int) -> list[Candidate]:
    """As :func:`quantize_radix` with nearest rounding only: scales are chosen by output error, codes by the weight."""
    return _quantize(problem, max_points, feedback=False)


@dataclass(frozen=True)
class _Rounding:
    """Integer rows on uniform grids.

    Attributes:
        codes: float64 (G, R, d), integers.
        step: float64 (G, R), a float32 value.
        error: (G, R), damped output error.
    """

    codes: np.ndarray
    step: np.ndarray
    error: np.ndarray

    def or_better(self, other: _Rounding) -> _Rounding:
        """Row by row the one with the smaller error."""
        better = other.error < self.error
        return _Rounding(
            np.where(better[..., None], other.codes, self.codes),
            np.where(better, other.step, self.step),
            np.where(better, other.error, self.error),
        )


def _quantize(problem: Problem, max_points: int, *, feedback: bool) -> list[Candidate]:
    unit, scaled = _in_units(problem)
    moment = damped(scaled.moment)
    rows = prepare(scaled.weight, moment) if feedback else None
    best: _Rounding | None = None
    result = []
    for points in range(1, max_points + 1):
        found = _round(scaled, moment, rows, points)
        # The grid of more points holds every integer of the smaller one: leading digits 0.
        best = found if best is None else found.or_better(best)
        ratio = radix(problem.bits, points)
        last = (best.step * unit).astype(np.float32)
        scales = [last * np.float32(ratio ** (points - 1 - i)) for i in range(points)]
        result.append(make_candidate(problem, split_digits(best.codes, bits=problem.bits, points=points), scales))
    return result


def _in_units(problem: Problem) -> tuple[np.ndarray, Problem]:
    """The problem with rows and moments near 1, where float32 neither overflows nor vanishes.

    Units are powers of two, (G, R) for the rows, so that nothing is rounded; the moment's unit drops out.
    """

    def power(values: np.ndarray) -> np.ndarray:
        return np.ldexp(1.0, np.frexp(values)[1])

    unit = power(np.maximum(np.abs(problem.weight).max(axis=2), problem.scale_floor))
    diagonal = problem.moment if problem.is_diagonal else np.einsum("gdd->gd", problem.moment)
    moment_unit = power(diagonal.max(axis=1)).reshape(-1, *[1] * (problem.moment.ndim - 1))
    scaled = replace(
        problem,
        weight=problem.weight / unit[..., None],
        moment=problem.moment / moment_unit,
        scale_floor=problem.scale_floor / unit,
    )
    return unit, scaled


def _round(problem: Problem, moment: np.ndarray, rows: Prepared | None, points: int) -> _Rounding:
    low, high = grid_limits(problem.bits, points)
    weight, floor = problem.weight, problem.scale_floor

    def judged(codes: np.ndarray, step: np.ndarray) -> _Rounding:
        return _Rounding(codes, step, output_error(codes * step[..., None] - weight, moment))

    start = clip_search(weight, moment, floor, low, high)
    codes = nearest_codes(weight, start, low, high)
    best = judged(codes, _refit(weight, codes, moment, start, floor))
    known = grid_step(weight, low, high)
    if known.any():
        step = np.maximum(_float32(np.where(known > 0, known, start)), floor)
        codes = nearest_codes(weight, step, low, high)
        best = best.or_better(judged(codes, _refit(weight, codes, moment, step, floor)))
    if rows is None:
        return best
    # Clips around the one that is best for nearest rounding, judged once more by the error after feedback.
    for ratio in _AFTER_FEEDBACK if high - low < _FEW_LEVELS else (1.0,):
        step = np.maximum(_float32(start * ratio), floor)
        codes, step = polish(rows, feedback_codes(rows, step, low, high), step, low, high, floor)
        best = best.or_better(judged(rows.restore(codes).astype(np.float64), step))
    return best


def _refit(
    weight: np.ndarray, codes: np.ndarray, moment: np.ndarray, step: np.ndarray, floor: np.ndarray
) -> np.ndarray:
    product = codes * moment[:, None, :] if moment.ndim == 2 else codes @ moment
    return refit_step(np.einsum("grd,grd->gr", product, codes), np.einsum("grd,grd->gr", product, weight), step, floor)
