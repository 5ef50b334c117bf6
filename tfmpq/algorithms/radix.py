"""Radix points: a row of n points is one uniform quantizer whose integers are cut into n low-bit digits.

Departs from the multipoint paper's greedy second point, whose first scale clips the tail; choosing both scales on
one combined grid is an exact uniform quantizer of 2^(bits n) levels (measured: -37 dB against -24 dB at 2 x 4 bits).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from converters.points import grid_limits, radix, split_digits
from tfmpq.algorithms.feedback import feedback_codes, polish, refit_step
from tfmpq.algorithms.full_rows import DiagonalRows, FullMoment, FullRows, damped
from tfmpq.algorithms.grid import grid_step
from tfmpq.algorithms.problem import Candidate, Problem, make_candidate

_COARSE = np.geomspace(0.35, 1.0, 10)  # clip ratios tried against the row's unclipped scale
_NEIGHBOURS = np.array([0.93, 0.965, 1.035, 1.07])  # around the best of those
_FEW_LEVELS = 32  # grids of more levels hardly gain from clipping: fewer ratios are tried
_FINE_LEVELS = 127  # with further points a polish gains far less there than rows of one point lose
_AFTER_FEEDBACK = (1.0, 0.94, 0.88, 1.06, 1.12)  # around the clip that is best before it: error -2 to -5 %


def unclipped_step(weight: np.ndarray, low: int, high: int) -> np.ndarray:
    """Smallest scale (G, R) at which no weight of rows (G, R, d) is clipped; 0 for all-zero rows."""
    return np.maximum(weight.max(axis=2) / high, weight.min(axis=2) / low).clip(min=0.0)


def _float32(step: np.ndarray) -> np.ndarray:
    return step.astype(np.float32).astype(np.float64)


def nearest_codes(weight: np.ndarray, step: np.ndarray, low: int, high: int) -> np.ndarray:
    """Round-to-nearest integers of rows (G, R, d) on the grids step * {low..high}; step is (G, R)."""
    return _nearest(weight, step[..., None], low, high)


def _nearest(weight: np.ndarray, step: np.ndarray, low: int, high: int) -> np.ndarray:
    codes = weight / step
    np.rint(codes, out=codes)
    return np.clip(codes, low, high, out=codes)


def clip_search(
    rows: FullRows | DiagonalRows, widest: np.ndarray, floor: np.ndarray, low: int, high: int
) -> np.ndarray:
    """Scale (G, R) of each row with the least output error of nearest rounding, by 1-D search.

    Args:
        rows: the layer.
        widest: (G, R), scales that clip nothing.
        floor: (G, R), smallest scale allowed.
        low, high: code range.
    """
    best = np.maximum(_float32(widest), floor)
    best_error = np.full(best.shape, np.inf)

    def attempt(step: np.ndarray) -> None:
        nonlocal best, best_error
        step = np.maximum(_float32(step), floor)
        codes = _nearest(rows.weight, step, low, high)
        error = rows.error(codes, rows.state(codes), step)
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
    return _quantize(problem, max_points, feedback=True)


def quantize_nearest_radix(problem: Problem, max_points: int) -> list[Candidate]:
    """As :func:`quantize_radix` with nearest rounding only: scales are chosen by output error, codes by the weight."""
    return _quantize(problem, max_points, feedback=False)


@dataclass(frozen=True)
class _Rounding:
    """Integer columns on uniform grids.

    Attributes:
        codes: float64 (d, G, R), integers.
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
            np.where(better, other.codes, self.codes),
            np.where(better, other.step, self.step),
            np.where(better, other.error, self.error),
        )


def rows_of(problem: Problem) -> FullRows | DiagonalRows:
    """The problem's rows and damped moment, laid out for work."""
    moment, groups = problem.moment, len(problem.weight)
    if moment.ndim == 2:
        return DiagonalRows.of(problem.weight, damped(moment))
    # What belongs to the moment alone is made once for all rows of a layer.
    known = problem.shared.get("radix")
    if known is None or known[0] is not moment:
        known = problem.shared["radix"] = moment, FullMoment.of(damped(moment, groups=groups))
    return FullRows.of(problem.weight, known[1])


def _quantize(problem: Problem, max_points: int, *, feedback: bool) -> list[Candidate]:
    rows = rows_of(problem)
    best: _Rounding | None = None
    result = []
    for points in range(1, max_points + 1):
        found = _round(problem, rows, points, feedback=feedback)
        # The grid of more points holds every integer of the smaller one: leading digits 0.
        best = found if best is None else found.or_better(best)
        ratio = radix(problem.bits, points)
        last = best.step.astype(np.float32)
        scales = [last * np.float32(ratio ** (points - 1 - i)) for i in range(points)]
        codes = split_digits(rows.restore(best.codes), bits=problem.bits, points=points)
        result.append(make_candidate(problem, codes, scales))
    return result


def _round(problem: Problem, rows: FullRows | DiagonalRows, points: int, *, feedback: bool) -> _Rounding:
    low, high = grid_limits(problem.bits, points)
    low = low if problem.lowest or points > 1 else max(low, -high)
    floor = problem.scale_floor

    def fitted(codes: np.ndarray, step: np.ndarray) -> _Rounding:
        state = rows.state(codes)
        step = refit_step(*rows.terms(codes, state), step, floor)
        return _Rounding(codes, step, rows.error(codes, state, step))

    def nearest(step: np.ndarray) -> _Rounding:
        return fitted(_nearest(rows.weight, step, low, high), step)

    start = clip_search(rows, unclipped_step(problem.weight, low, high), floor, low, high)
    best = nearest(start)
    known = grid_step(problem.weight, low, high)
    if known.any():
        best = best.or_better(nearest(np.maximum(_float32(np.where(known > 0, known, start)), floor)))
    if not feedback or isinstance(rows, DiagonalRows):
        return best
    # Clips around the one that is best for nearest rounding, judged once more by the error after feedback. The polish
    # takes most of the time: each row has one.
    fed: _Rounding | None = None
    for ratio in _AFTER_FEEDBACK if high - low < _FEW_LEVELS else (1.0,):
        step = np.maximum(_float32(start * ratio), floor)
        found = fitted(feedback_codes(rows, step, low, high), step)
        fed = found if fed is None else fed.or_better(found)
    assert fed is not None
    if points > 1 and high - low >= _FINE_LEVELS:
        return best.or_better(fed)
    return best.or_better(_Rounding(*polish(rows, fed.codes, fed.step, low, high, floor)))
