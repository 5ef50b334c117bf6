"""Radix points: a row of n points is one uniform quantizer whose integers are cut into n low-bit digits.

Departs from the multipoint paper's greedy second point, whose first scale clips the tail; choosing both scales on
one combined grid is an exact uniform quantizer of 2^(bits n) levels (measured: -37 dB against -24 dB at 2 x 4 bits).
"""

from __future__ import annotations

import numpy as np

from tfmpq.algorithms.feedback import Prepared, damped, feedback_codes, polish, prepare, refit_step
from tfmpq.algorithms.problem import Candidate, Problem, make_candidate, output_error
from tfmpq.points import grid_limits, radix, split_digits

_COARSE = np.geomspace(0.35, 1.0, 10)  # clip ratios tried against the row's unclipped scale
_NEIGHBOURS = np.array([0.93, 0.965, 1.035, 1.07])  # around the best of those
_FEW_LEVELS = 32  # grids of more levels hardly gain from clipping: fewer ratios are tried
# Around the clip that is best for nearest rounding, judged once more by the error after feedback (-2 to -5 %).
_AFTER_FEEDBACK = (1.0, 0.94, 0.88, 1.06, 1.12)


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

    Output-weighted clip search, GPTQ feedback, coordinate descent with scale refit; per row the best of nearest and
    feedback rounding is kept, so the (damped) output error never exceeds nearest rounding's.
    """
    moment = damped(problem.moment)
    rows = None if problem.is_diagonal else prepare(problem.weight, moment)
    return [_with_points(problem, moment, rows, n) for n in range(1, max_points + 1)]


def quantize_nearest_radix(problem: Problem, max_points: int) -> list[Candidate]:
    """As :func:`quantize_radix` with nearest rounding only: scales are chosen by output error, codes by the weight."""
    moment = damped(problem.moment)
    return [_with_points(problem, moment, None, n) for n in range(1, max_points + 1)]


def _with_points(problem: Problem, moment: np.ndarray, rows: Prepared | None, points: int) -> Candidate:
    low, high = grid_limits(problem.bits, points)
    weight, floor = problem.weight, problem.scale_floor
    start = clip_search(weight, moment, floor, low, high)
    start = np.where(start > 0, start, 1.0)  # an all-zero row has no scale of its own; any positive one will do
    best_codes = nearest_codes(weight, start, low, high)
    best_step = _refit(weight, best_codes, moment, start, floor)
    best_error = output_error(best_codes * best_step[..., None] - weight, moment)
    ratios = _AFTER_FEEDBACK if high - low < _FEW_LEVELS else _AFTER_FEEDBACK[:1]
    for ratio in ratios if rows is not None else ():
        step = np.maximum(_float32(start * ratio), floor)
        codes, step = polish(rows, feedback_codes(rows, step, low, high), step, low, high, floor)
        codes = rows.restore(codes).astype(np.float64)
        error = output_error(codes * step[..., None] - weight, moment)
        better = error < best_error
        best_codes = np.where(better[..., None], codes, best_codes)
        best_step, best_error = np.where(better, step, best_step), np.where(better, error, best_error)
    digits = split_digits(best_codes, bits=problem.bits, points=points)
    ratio = radix(problem.bits, points)
    last = best_step.astype(np.float32)
    scales = [last * np.float32(ratio ** (points - 1 - i)) for i in range(points)]
    return make_candidate(problem, list(digits), scales)


def _refit(
    weight: np.ndarray, codes: np.ndarray, moment: np.ndarray, step: np.ndarray, floor: np.ndarray
) -> np.ndarray:
    product = codes * moment[:, None, :] if moment.ndim == 2 else codes @ moment
    return refit_step(np.einsum("grd,grd->gr", product, codes), np.einsum("grd,grd->gr", product, weight), step, floor)
