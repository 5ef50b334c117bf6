"""Rounding by output error: GPTQ error feedback, then coordinate descent with scale refit.

Source: Frantar, Ashkboos, Hoefler, Alistarh, "GPTQ", 2022 (arXiv 2210.17323), for the feedback, in the form of Chee,
Cai, Kuleshov, De Sa, "QuIP", 2023 (arXiv 2307.13304), section 3: the same codes from a factor of the moment itself
instead of its inverse. The polish is plain coordinate descent on the same quadratic form.
"""

from __future__ import annotations

import numpy as np

from tfmpq.algorithms.full_rows import BLOCK, FullRows

_ROUNDS = 2  # polish: refits and sweeps; four change the error by less than 0.5 %
_SWEEPS = 2


def feedback_codes(rows: FullRows, step: np.ndarray, low: int, high: int) -> np.ndarray:
    """Integer codes (d, G, R) on grids of scale ``step`` (G, R), each column's error fed to the later ones."""
    codes = np.empty_like(rows.weight)
    total = len(codes)
    carrier = rows.carrier()
    for start in range(0, total, BLOCK):
        stop = min(start + BLOCK, total)
        plain = rows.weight[start:stop] / step
        errors = np.empty_like(plain)
        wanted = plain + carrier.owed(start, stop)
        shares = np.ascontiguousarray(carrier.shares(start, stop).transpose(1, 2, 0))[..., None]
        for j in range(stop - start):
            codes[start + j] = np.minimum(np.maximum(np.rint(wanted[j]), low), high)
            errors[j] = plain[j] - codes[start + j]
            wanted[j + 1 :] += shares[j, j + 1 :] * errors[j]
        carrier.book(start, stop, errors)
    return codes


def polish(
    rows: FullRows, codes: np.ndarray, step: np.ndarray, low: int, high: int, floor: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Coordinate descent on the rows' output error, alternated with a refit of their scales.

    Args:
        rows: the layer.
        codes: (d, G, R), in the rows' own layout, to start from; not changed.
        step: (G, R) scales.
        low, high: code range.
        floor: (G, R) smallest scales allowed.

    Returns:
        (codes, step, error), no worse than what came in.
    """
    codes = codes.copy()
    state = rows.state(codes)
    for _ in range(_ROUNDS):
        step = refit_step(*rows.terms(codes, state), step, floor)
        if not descend(rows, codes, state, step, low, high):
            break
    return codes, step, rows.error(codes, state, step)


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


def descend(rows: FullRows, codes: np.ndarray, state: np.ndarray, step: np.ndarray, low: int, high: int) -> bool:
    """Sweeps over the columns, moving each code to the best integer given all others; edits codes and state."""
    any_change = False
    for _ in range(_SWEEPS):
        changed = False
        for start in range(0, len(codes), BLOCK):
            stop = min(start + BLOCK, len(codes))
            block = rows.gradient(state, step, start, stop)
            inner = rows.inner(start, stop)
            moves = np.zeros_like(block)
            for j in range(stop - start):
                wanted = codes[start + j] - np.rint(block[j] / inner[:, j, j, None])
                move = np.minimum(np.maximum(wanted, low), high) - codes[start + j]
                moved = np.nonzero(move)
                if not len(moved[0]):
                    continue
                codes[start + j] += move
                moves[j] = move
                # Few rows move in later sweeps: update those alone.
                block[(slice(None), *moved)] += inner[:, j][moved[0]].T * move[moved]
            if moves.any():
                changed = True
                rows.move(state, start, stop, moves)
        any_change |= changed
        if not changed:
            break
    return any_change
