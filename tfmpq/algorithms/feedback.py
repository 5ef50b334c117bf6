"""Rounding by output error: GPTQ error feedback, then coordinate descent with scale refit.

Source: Frantar, Ashkboos, Hoefler, Alistarh, "GPTQ", 2022 (arXiv 2210.17323), section 3.3, for the feedback; the
polish is plain coordinate descent on the same quadratic form.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

import numpy as np

DAMPING = 0.01  # of the mean diagonal, GPTQ's value
_MORE_DAMPING = (0.1, 1.0, 10.0)  # where the factorization fails
_BLOCK = 64  # columns handled one by one before a matrix product carries their effect on
_ROUNDS = 2  # polish: refits and sweeps; four change the error by less than 0.5 %
_SWEEPS = 2


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


@dataclass(frozen=True)
class Prepared:
    """A layer's rows and moment laid out for work column by column.

    Columns come first, (d, G, R), so that one column of all rows is contiguous, and are sorted by decreasing diagonal.
    float32: the codes that come out are judged in float64 by the caller.

    Attributes:
        weight: (d, G, R).
        moment: (G, d, d), damped.
        upper: (G, d, d), upper Cholesky factor of the inverse moment.
        pull: (d, G, R), weight times moment.
        order: (G, d), column of the layer behind each column here.
    """

    weight: np.ndarray
    moment: np.ndarray
    upper: np.ndarray
    pull: np.ndarray
    order: np.ndarray

    def restore(self, codes: np.ndarray) -> np.ndarray:
        """(d, G, R) in this order -> (G, R, d) in the layer's."""
        result = np.empty_like(codes)
        np.put_along_axis(result, np.broadcast_to(self.order.T[:, :, None], codes.shape), codes, 0)
        return np.ascontiguousarray(result.transpose(1, 2, 0))


def prepare(weight: np.ndarray, moment: np.ndarray) -> Prepared:
    """Prepares rows (G, R, d) and their damped moment (G, d, d) for feedback and polish."""
    order = np.argsort(-np.einsum("gdd->gd", moment), axis=1, kind="stable")
    sorted_moment = np.take_along_axis(np.take_along_axis(moment, order[:, :, None], 1), order[:, None, :], 2)
    # With H = P L L^T P (P reverses the order), H^-1 = U^T U for U = P L^-1 P. Factoring H itself, which damping makes
    # safe, and not its inverse, which rounding can leave indefinite.
    upper = np.linalg.inv(_cholesky(sorted_moment[:, ::-1, ::-1]))[:, ::-1, ::-1]
    columns = np.take_along_axis(weight.transpose(2, 0, 1), order.T[:, :, None], 0).astype(np.float32)
    small = sorted_moment.astype(np.float32)
    return Prepared(columns, small, upper.astype(np.float32), _times(small, columns), order)


def _cholesky(moment: np.ndarray) -> np.ndarray:
    """Lower factor of a damped moment (G, d, d).

    More is added to the diagonal where that is not enough: sums of values that differ by many orders of magnitude lose
    the small ones. Twice the whole diagonal outweighs any rounding.
    """
    mean = np.einsum("gdd->g", moment) / moment.shape[1]
    if not np.isfinite(moment).all():
        raise ValueError("a layer's input moment is not finite")
    with contextlib.suppress(np.linalg.LinAlgError):
        return np.linalg.cholesky(moment)
    for extra in _MORE_DAMPING:
        with contextlib.suppress(np.linalg.LinAlgError):
            return np.linalg.cholesky(moment + (extra * mean)[:, None, None] * np.eye(moment.shape[1]))
    raise ValueError("a layer's input moment is not symmetric")


def _times(moment: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Moment (G, n, m) times columns (m, G, R) -> (n, G, R)."""
    if len(moment) == 1:
        return (moment[0] @ columns[:, 0])[:, None]
    return np.ascontiguousarray((moment @ columns.transpose(1, 0, 2)).transpose(1, 0, 2))


def feedback_codes(rows: Prepared, step: np.ndarray, low: int, high: int) -> np.ndarray:
    """Integer codes (d, G, R) on grids of scale ``step`` (G, R), each column's error fed to the later ones."""
    step = step.astype(np.float32)
    rest = rows.weight.copy()
    codes = np.empty_like(rest)
    total = len(rest)
    for start in range(0, total, _BLOCK):
        stop = min(start + _BLOCK, total)
        errors = np.empty((stop - start, *rest.shape[1:]), np.float32)
        for j in range(start, stop):
            codes[j] = np.minimum(np.maximum(np.rint(rest[j] / step), low), high)
            error = (rest[j] - codes[j] * step) / rows.upper[:, j, j, None]
            errors[j - start] = error
            rest[j + 1 : stop] -= rows.upper[:, j, j + 1 : stop].T[:, :, None] * error
        rest[stop:] -= _times(np.swapaxes(rows.upper[:, start:stop, stop:], 1, 2), errors)
    return codes


def polish(
    rows: Prepared, codes: np.ndarray, step: np.ndarray, low: int, high: int, floor: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Coordinate descent on the rows' output error, alternated with a refit of their scales.

    Args:
        rows: the layer.
        codes: (d, G, R) to start from; not changed.
        step: (G, R) scales.
        low, high: code range.
        floor: (G, R) smallest scales allowed.

    Returns:
        (codes, step), no worse than what came in.
    """
    codes = codes.copy()
    diagonal = np.einsum("gdd->dg", rows.moment)[:, :, None]
    for _ in range(_ROUNDS):
        product = _times(rows.moment, codes)
        step = refit_step((codes * product).sum(0), (codes * rows.pull).sum(0), step, floor)
        small = step.astype(np.float32)
        if not _descend(rows, codes, small, product * small - rows.pull, small * diagonal, low, high):
            break
    return codes, step


def refit_step(norm: np.ndarray, dot: np.ndarray, step: np.ndarray, floor: np.ndarray) -> np.ndarray:
    """The scale of each row that is best for its codes, ``q^T H w / q^T H q``, where it beats ``step``.

    Args:
        norm: (G, R), q^T H q.
        dot: (G, R), q^T H w.
        step, floor: (G, R), present scale and lower bound.
    """
    usable = (norm > 0) & (dot > 0)
    # float32 is what the file stores, so that is what is judged from here on.
    fitted = np.where(usable, dot / np.where(usable, norm, 1.0), step).astype(np.float32).astype(np.float64)
    fitted = np.maximum(fitted, floor)
    # Error up to a constant: s^2 q^T H q - 2 s q^T H w.
    gain = (step**2 - fitted**2) * norm - 2 * (step - fitted) * dot
    return np.where(gain > 0, fitted, step)


def _descend(
    rows: Prepared, codes: np.ndarray, step: np.ndarray, gradient: np.ndarray, slope: np.ndarray, low: int, high: int
) -> bool:
    """Sweeps over the columns, moving each code to the best integer given all others; edits ``codes``."""
    any_change = False
    for _ in range(_SWEEPS):
        changed = False
        for start in range(0, len(codes), _BLOCK):
            stop = min(start + _BLOCK, len(codes))
            block = gradient[start:stop].copy()
            moves = np.zeros_like(block)
            for j in range(start, stop):
                wanted = codes[j] - np.rint(block[j - start] / slope[j])
                move = (np.minimum(np.maximum(wanted, low), high) - codes[j]) * step
                moved = np.nonzero(move)
                if not len(moved[0]):
                    continue
                codes[j] += np.rint(move / step)
                moves[j - start] = move
                # Few rows move in later sweeps: update those alone.
                block[(slice(None), *moved)] += rows.moment[:, j, start:stop][moved[0]].T * move[moved]
            if moves.any():
                changed = True
                gradient += _times(rows.moment[:, :, start:stop], moves)
        any_change |= changed
        if not changed:
            break
    return any_change
