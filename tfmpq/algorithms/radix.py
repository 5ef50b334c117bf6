"""Radix points: a row of n points is one uniform quantizer whose integers are cut into n low-bit digits.

Departs from the multipoint paper's greedy second point, whose first scale clips the tail; choosing both scales on
one combined grid is an exact uniform quantizer of 2^(bits n) levels (measured: -37 dB against -24 dB at 2 x 4 bits).
"""

from __future__ import annotations

import numpy as np

from tfmpq.algorithms.feedback import Feedback, damped, nearest_codes, polish, refit_step
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


def clip_search(problem: Problem, low: int, high: int) -> np.ndarray:
    """Scale (G, R) of each row with the least output error of nearest rounding.

    Source: output-error weighting of the clip search in methods section 1; the search itself is a 1-D grid.
    """
    widest = unclipped_step(problem.weight, low, high)
    floor = problem.scale_floor
    best = np.maximum(_float32(widest), floor)
    best_error = np.full(best.shape, np.inf)

    def attempt(step: np.ndarray) -> None:
        nonlocal best, best_error
        step = np.maximum(_float32(step), floor)
        codes = nearest_codes(problem.weight, step, low, high)
        error = output_error(codes * step[..., None] - problem.weight, problem.moment)
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
    feedback rounding is kept, so the output error never exceeds nearest rounding's.
    """
    safe = Problem(problem.weight, damped(problem.moment), problem.bits, problem.scale_floor)
    feedback = None if problem.is_diagonal else Feedback(safe.moment)
    return [_with_points(problem, safe, feedback, n) for n in range(1, max_points + 1)]


def quantize_nearest_radix(problem: Problem, max_points: int) -> list[Candidate]:
    """As :func:`quantize_radix` with nearest rounding only: needs no data to choose codes given the scales."""
    safe = Problem(problem.weight, damped(problem.moment), problem.bits, problem.scale_floor)
    return [_with_points(problem, safe, None, n) for n in range(1, max_points + 1)]


def _with_points(problem: Problem, safe: Problem, feedback: Feedback | None, points: int) -> Candidate:
    low, high = grid_limits(problem.bits, points)
    weight, moment, floor = safe.weight, safe.moment, safe.scale_floor
    start = clip_search(safe, low, high)
    best_codes = nearest_codes(weight, start, low, high)
    best_step = refit_step(weight, best_codes, moment, start, floor)
    best_error = output_error(best_codes * best_step[..., None] - weight, moment)
    ratios = _AFTER_FEEDBACK if high - low < _FEW_LEVELS else _AFTER_FEEDBACK[:1]
    for ratio in ratios if feedback is not None else ():
        step = np.maximum(_float32(start * ratio), floor)
        codes = feedback.round(weight, step, low, high)
        codes, step = polish(weight, codes, step, low, high, moment, floor)
        error = output_error(codes * step[..., None] - weight, moment)
        better = error < best_error
        best_codes = np.where(better[..., None], codes, best_codes)
        best_step, best_error = np.where(better, step, best_step), np.where(better, error, best_error)
    digits = split_digits(best_codes, bits=problem.bits, points=points)
    ratio = radix(problem.bits, points)
    # An all-zero row has no scale of its own; any positive one will do.
    last = np.where(best_step > 0, best_step, 1.0).astype(np.float32)
    scales = [last * np.float32(ratio ** (points - 1 - i)) for i in range(points)]
    return make_candidate(problem, list(digits), scales)
