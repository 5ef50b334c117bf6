"""Codes of rows whose steps are given: kernels that take one scale a matrix leave nothing else to choose."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tfmpq.algorithms.feedback import descend, feedback_codes
from tfmpq.algorithms.full_rows import FullMoment, FullRows, damped

_MOST_ROUNDS = 8  # of two sweeps; a few rows are still moving after the second


@dataclass(frozen=True)
class FixedCodes:
    """Rows on given steps.

    Attributes:
        codes: int8 (R, d).
        nearest: int8 (R, d), the codes nearest to the weights.
        error: float64 (R,), output error of the codes, in the damped moment; that of the nearest or less.
        nearest_error: float64 (R,).
    """

    codes: np.ndarray
    nearest: np.ndarray
    error: np.ndarray
    nearest_error: np.ndarray


def fixed_scale_codes(weight: np.ndarray, steps: np.ndarray, moment: np.ndarray, limit: int) -> FixedCodes:
    """Codes q within +-limit with the least (q steps - w)^T H (q steps - w) that feedback and descent find.

    In units of their steps all columns have step 1, and H is that of inputs times their steps.

    Args:
        weight: float64 (R, d).
        steps: float64 (d,), of each column, all > 0.
        moment: float64 (d, d), second moment of the inputs; centred where a bias absorbs the mean.
        limit: largest magnitude of a code.

    Raises:
        ValueError: The moment is not finite.
    """
    known = FullMoment.of(damped((moment * steps[:, None] * steps)[None]))
    rows = FullRows.of((weight / steps)[None], known)
    ones = np.ones((1, len(weight)))
    nearest = np.clip(np.rint(rows.weight), -limit, limit)
    nearest_error = rows.error(nearest, rows.state(nearest), ones)
    best, error = nearest, nearest_error
    for start in (feedback_codes(rows, ones, -limit, limit), nearest):
        codes = start.copy()
        state = rows.state(codes)
        for _ in range(_MOST_ROUNDS):
            if not descend(rows, codes, state, ones, -limit, limit):
                break
        found = rows.error(codes, state, ones)
        better = found < error
        best, error = np.where(better, codes, best), np.where(better, found, error)
    chosen, plain = (rows.restore(codes)[0].astype(np.int8) for codes in (best, nearest))
    return FixedCodes(chosen, plain, error[0], nearest_error[0])
