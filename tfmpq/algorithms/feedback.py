"""Rounding by output error: GPTQ error feedback, then coordinate descent with scale refit.

Source: Frantar, Ashkboos, Hoefler, Alistarh, "GPTQ", 2022 (arXiv 2210.17323), section 3.3, for the feedback; the
polish is plain coordinate descent on the same quadratic form.
"""

from __future__ import annotations

import numpy as np

from tfmpq.algorithms.problem import output_error

DAMPING = 0.01  # of the mean diagonal, GPTQ's value
_BLOCK = 64  # columns handled one by one before a matrix product carries their error on
_MAX_ROUNDS = 2  # polish: sweeps and refits; four change the error by less than 0.5 %
_MAX_SWEEPS = 2


def damped(moment: np.ndarray, damping: float = DAMPING) -> np.ndarray:
    """``moment`` with ``damping`` of its mean diagonal added to the diagonal; dead inputs get 1.

    Keeps the matrix invertible and rounding from trusting directions the calibration data barely show.
    """
    diagonal = moment if moment.ndim == 2 else np.einsum("gdd->gd", moment)
    mean = diagonal.mean(axis=-1, keepdims=True)
    extra = np.where(diagonal > 0, damping * mean, np.where(mean > 0, mean, 1.0))
    if moment.ndim == 2:
        return moment + extra
    result = moment.copy()
    np.einsum("gdd->gd", result)[...] += extra
    return result


def nearest_codes(weight: np.ndarray, step: np.ndarray, low: float, high: float) -> np.ndarray:
    """Round-to-nearest integers of (G, R, d) rows on the grid step * {low..high}; step is (G, R)."""
    return np.clip(np.rint(weight / step[..., None]), low, high)


class Feedback:
    """Error feedback prepared for one (damped, full) moment; apply it to any rows and grids."""

    def __init__(self, moment: np.ndarray) -> None:
        diagonal = np.einsum("gdd->gd", moment)
        self.order = np.argsort(-diagonal, axis=1, kind="stable")
        take = self.order
        permuted = np.take_along_axis(np.take_along_axis(moment, take[:, :, None], 1), take[:, None, :], 2)
        self.upper = np.swapaxes(np.linalg.cholesky(np.linalg.inv(permuted)), 1, 2)

    def round(self, weight: np.ndarray, step: np.ndarray, low: float, high: float) -> np.ndarray:
        """Integer codes (G, R, d) of ``weight`` on the rows' grids, each column's error fed to the later ones."""
        order = self.order[:, None, :]
        rest = np.take_along_axis(weight, np.broadcast_to(order, weight.shape), 2).copy()
        codes = np.empty_like(rest)
        columns = weight.shape[2]
        for start in range(0, columns, _BLOCK):
            stop = min(start + _BLOCK, columns)
            errors = np.empty((*weight.shape[:2], stop - start))
            for j in range(start, stop):
                codes[:, :, j] = np.clip(np.rint(rest[:, :, j] / step), low, high)
                error = (rest[:, :, j] - codes[:, :, j] * step) / self.upper[:, j, j, None]
                errors[:, :, j - start] = error
                rest[:, :, j + 1 : stop] -= error[..., None] * self.upper[:, None, j, j + 1 : stop]
            rest[:, :, stop:] -= errors @ self.upper[:, start:stop, stop:]
        result = np.empty_like(codes)
        np.put_along_axis(result, np.broadcast_to(order, codes.shape), codes, 2)
        return result


def refit_step(weight: np.ndarray, codes: np.ndarray, moment: np.ndarray, step: np.ndarray, floor: np.ndarray) -> np.ndarray:
    """The scale of each row that is best for its codes, ``q^T H w / q^T H q``; the old one where that is no gain."""
    product = codes * moment[:, None, :] if moment.ndim == 2 else codes @ moment
    norm = np.einsum("grd,grd->gr", product, codes)
    dot = np.einsum("grd,grd->gr", product, weight)
    usable = (norm > 0) & (dot > 0)
    # float32 is what the file stores, so that is what is judged from here on.
    fitted = np.where(usable, dot / np.where(norm > 0, norm, 1.0), step).astype(np.float32).astype(np.float64)
    fitted = np.maximum(fitted, floor)
    before = output_error(codes * step[..., None] - weight, moment)
    after = output_error(codes * fitted[..., None] - weight, moment)
    return np.where(after < before, fitted, step)


def polish(
    weight: np.ndarray,
    codes: np.ndarray,
    step: np.ndarray,
    low: float,
    high: float,
    moment: np.ndarray,
    floor: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Coordinate descent on the rows' output error, alternated with a refit of their scales.

    Args:
        weight, codes: (G, R, d).
        step, floor: (G, R) scales and their lower bounds.
        low, high: code range.
        moment: (G, d, d), damped.

    Returns:
        (codes, step), never worse than what came in.
    """
    codes = codes.copy()
    for _ in range(_MAX_ROUNDS):
        fitted = refit_step(weight, codes, moment, step, floor)
        changed = _descend(weight, codes, fitted, low, high, moment)
        done = not changed and np.array_equal(fitted, step)
        step = fitted
        if done:
            break
    return codes, step


def _descend(weight: np.ndarray, codes: np.ndarray, step: np.ndarray, low: float, high: float, moment: np.ndarray) -> bool:
    """Sweeps over the columns, moving each code to the best integer given all others; edits ``codes``."""
    diagonal = np.einsum("gdd->gd", moment)
    columns = weight.shape[2]
    gradient = (codes * step[..., None] - weight) @ moment
    any_change = False
    for _ in range(_MAX_SWEEPS):
        changed = False
        for start in range(0, columns, _BLOCK):
            stop = min(start + _BLOCK, columns)
            block = gradient[:, :, start:stop].copy()
            moves = np.zeros_like(block)
            for j in range(start, stop):
                wanted = codes[:, :, j] - np.rint(block[:, :, j - start] / (step * diagonal[:, j, None]))
                new = np.clip(wanted, low, high)
                move = (new - codes[:, :, j]) * step
                if not move.any():
                    continue
                codes[:, :, j] = new
                moves[:, :, j - start] = move
                block += move[..., None] * moment[:, None, j, start:stop]
            if moves.any():
                changed = True
                gradient += moves @ moment[:, start:stop, :]
        any_change |= changed
        if not changed:
            break
    return any_change
