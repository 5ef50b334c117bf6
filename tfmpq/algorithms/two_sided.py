"""Two-sided rounding: all rows of a layer together, by what the network makes of their errors.

One row's error can make up for another's where the network adds both up. With H the moment of the inputs and G that of
the loss's gradients at the outputs, the loss grows by about ``tr(G E H E^T)`` for rows that are off by E. Feedback and
polish are those of :mod:`tfmpq.algorithms.feedback` with a second factor, from row to row within a column.

Source: Tseng, Sun, Hou, De Sa, "Model-preserving adaptive rounding" (YAQA), 2025, for the objective and the feedback on
both sides.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from tfmpq.algorithms.exact import precise_product
from tfmpq.algorithms.full_rows import FullMoment, FullRows
from tfmpq.algorithms.two_sided_loops import loops

_ROUNDS, _SWEEPS = 3, 2  # of the polish, as a refit of scales and sweeps over the codes
_MOST_CHANGE = 2.0  # of a scale in one refit: what asks for more is rows that hardly count
_RATIO_BITS = 16  # of a scale's change: what BLAS makes of the last bits of a solution turns no code
_GAIN = 1e-6  # of the error: less is no reason for other codes


@dataclass(frozen=True)
class Grids:
    """Uniform grids of a layer's rows.

    Attributes:
        step: float64 (C,), scales that float32 holds.
        low, high: float64 (C,), range of the codes.
        floor: float64 (C,), smallest scales allowed.
    """

    step: np.ndarray
    low: np.ndarray
    high: np.ndarray
    floor: np.ndarray

    def sorted(self, order: np.ndarray) -> Grids:
        """Of rows in another order."""
        return Grids(self.step[order], self.low[order], self.high[order], self.floor[order])


@dataclass(frozen=True)
class Rounded:
    """What two-sided rounding found.

    Attributes:
        codes: float64 (C, d), whole numbers.
        step: float64 (C,), scales.
        left: the share of the error ``tr(G E H E^T)`` that is left of what the rows had before, at most 1.
    """

    codes: np.ndarray
    step: np.ndarray
    left: float


def round_two_sided(
    weight: np.ndarray, codes: np.ndarray, grids: Grids, moment: FullMoment, outputs: np.ndarray
) -> Rounded:
    """Rounds all rows of a layer together.

    Args:
        weight: float64 (C, d).
        codes: float64 (C, d), those that the rows have now, which stay unless others are better.
        grids: of the rows.
        moment: damped, of the layer's inputs, one group.
        outputs: float64 (C, C), damped second moment of the gradients at the outputs.
    """
    # Rows whose rounding counts most go first: later ones make up for them.
    order = np.argsort(-np.diag(outputs) * grids.step**2, kind="stable")
    outputs = outputs[np.ix_(order, order)]
    rows = FullRows.of(weight[order][None], moment)
    before = _Codes(rows, _columns(codes[order], moment), grids.sorted(order))
    after = replace(before, codes=_fed_back(before, outputs))
    for _ in range(_ROUNDS):
        after = _refitted(after, outputs)
        if not _polished(after, outputs):
            break
    error = before.error(outputs)
    left = after.error(outputs)
    if not left < (1 - _GAIN) * error:
        return Rounded(codes, grids.step, 1.0)
    found, step = np.empty_like(codes), np.empty_like(grids.step)
    found[order] = rows.restore(after.codes[:, None])[0]
    step[order] = after.grids.step
    return Rounded(found, step, left / error)


@dataclass(frozen=True, eq=False)
class _Codes:
    """Codes (d, C) of rows, in the order of the moment's columns."""

    rows: FullRows
    codes: np.ndarray
    grids: Grids

    def state(self) -> np.ndarray:
        """(d, C): H times the error, in steps of each row."""
        product = self.rows.state(self.codes[:, None])[:, 0]
        return product - self.rows.pull[:, 0] / self.grids.step

    def error(self, outputs: np.ndarray) -> float:
        """``tr(G E H E^T)``."""
        step = self.grids.step
        apart = self.codes * step - self.rows.weight[:, 0]
        return float((outputs * precise_product(apart.T, self.state() * step)).sum())


def _columns(codes: np.ndarray, moment: FullMoment) -> np.ndarray:
    return np.ascontiguousarray(codes[:, moment.order[0]].T)


def _fed_back(start: _Codes, outputs: np.ndarray) -> np.ndarray:
    step = start.grids.step
    scaled = _in_steps(outputs, step)
    plain = start.rows.weight[:, 0] / step
    return loops().feed_back(plain, start.grids.low, start.grids.high, start.rows.known.shares[0], _shares(scaled))


def _in_steps(outputs: np.ndarray, step: np.ndarray) -> np.ndarray:
    """The outputs' moment for errors in steps of each row."""
    return outputs * (step[:, None] * step)


def _shares(scaled: np.ndarray) -> np.ndarray:
    """What an error of row i adds to row j > i at [i, j]: as for columns, in the order that rows have already."""
    return FullMoment(scaled[None], np.arange(len(scaled))[None]).shares[0]


def _polished(found: _Codes, outputs: np.ndarray) -> bool:
    """Sweeps over the codes; edits them. Whether any moved."""
    grids, known = found.grids, found.rows.known
    scaled, state = _in_steps(outputs, grids.step), found.state()
    any_moved = False
    for _ in range(_SWEEPS):
        moved = loops().descend(found.codes, state, grids.low, grids.high, known.moment[0], scaled)
        any_moved |= moved > 0
        if not moved:
            break
    return any_moved


def _refitted(found: _Codes, outputs: np.ndarray) -> _Codes:
    """The scales that are best together for these codes: linear equations ``(G * Q H Q^T) s = diag(G W H Q^T)``."""
    rows, grids = found.rows, found.grids
    product = rows.state(found.codes[:, None])[:, 0]
    matrix = outputs * precise_product(found.codes.T, product)
    wanted = (outputs * precise_product(product.T, rows.weight[:, 0])).sum(axis=1)
    diagonal = np.einsum("rr->r", matrix)
    diagonal += np.where(diagonal > 0, 1e-9 * diagonal, 1.0)  # rows of zeros keep their scale: wanted is 0
    ratio = np.linalg.solve(matrix, wanted) / grids.step
    ratio = np.rint(ratio * 2.0**_RATIO_BITS) * 2.0**-_RATIO_BITS
    usable = (ratio > 1 / _MOST_CHANGE) & (ratio < _MOST_CHANGE)
    step = (grids.step * np.where(usable, ratio, 1.0)).astype(np.float32).astype(np.float64)
    changed = replace(found, grids=replace(grids, step=np.maximum(step, grids.floor)))
    return changed if changed.error(outputs) < found.error(outputs) else found
