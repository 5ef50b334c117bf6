"""Rows whose error is measured by a whole second moment of the layer's inputs, or by its diagonal alone."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from tfmpq.algorithms.blocks import join, over_blocks, split
from tfmpq.algorithms.exact import DIGITS, cholesky, on_grid, precise_product

DAMPING = 0.01  # of the mean diagonal, GPTQ's value
_MORE_DAMPING = (0.1, 1.0, 10.0)  # where the factorization fails
BLOCK = 64  # columns handled one by one before a matrix product carries their effect on
_DIGIT = 8  # bits of codes that are multiplied at once: all but two 8-bit points and more
_FACTOR_BITS, _ERROR_BITS = 24, 23  # with the 64 columns of a block: sums of 53 bits


def damped(moment: np.ndarray, *, groups: int | None = None, share: float = DAMPING) -> np.ndarray:
    """A moment with a share of its mean diagonal added to it; dead inputs get the mean, or 1 where all are dead.

    Keeps the matrix invertible and rounding from trusting directions the calibration data barely show.

    Args:
        moment: (G, d, d) or diagonal (G, d), or blocks (B, b, b) of one group.
        groups: G, by default as many as there are matrices.
        share: of the mean diagonal.
    """
    result = moment.copy()
    diagonal = result if moment.ndim == 2 else np.einsum("gdd->gd", result)
    groups = len(moment) if groups is None else groups
    mean = np.repeat(diagonal.reshape(groups, -1).mean(axis=1), len(moment) // groups)[:, None]
    diagonal += np.where(diagonal > 0, share * mean, np.where(mean > 0, mean, 1.0))
    return result


def sorted_columns(weight: np.ndarray, order: np.ndarray) -> np.ndarray:
    """Rows (G, R, d) -> float64 (d, G, R), column ``order[g, i]`` of group g in place i."""
    return np.take_along_axis(weight.transpose(2, 0, 1), order.T[:, :, None], 0).astype(np.float64)


def restored_columns(codes: np.ndarray, order: np.ndarray) -> np.ndarray:
    """The way back: (d, G, R) -> (G, R, d)."""
    result = np.empty_like(codes)
    np.put_along_axis(result, np.broadcast_to(order.T[:, :, None], codes.shape), codes, 0)
    return np.ascontiguousarray(result.transpose(1, 2, 0))


@dataclass(frozen=True)
class DiagonalRows:
    """Rows measured by a diagonal. They answer what the search for scales asks of :class:`FullRows`.

    Attributes:
        weight: (d, G, R), columns as in the layer.
        diagonal: (d, G, 1).
    """

    weight: np.ndarray
    diagonal: np.ndarray

    @classmethod
    def of(cls, weight: np.ndarray, diagonal: np.ndarray) -> DiagonalRows:
        """Of rows (G, R, d) and a damped diagonal (G, d)."""
        return cls(np.ascontiguousarray(weight.transpose(2, 0, 1)), diagonal.T[:, :, None])

    def state(self, codes: np.ndarray) -> np.ndarray:
        """What the moment makes of codes."""
        return self.diagonal * codes

    def terms(self, codes: np.ndarray, state: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """q^T H q and q^T H w, (G, R) each."""
        return total(codes, state), total(self.weight, state)

    def error(self, codes: np.ndarray, state: np.ndarray, step: np.ndarray) -> np.ndarray:
        """(G, R): (q step - w)^T H (q step - w)."""
        left = codes * step
        left -= self.weight
        return total(left, left * self.diagonal)

    def restore(self, codes: np.ndarray) -> np.ndarray:
        """Codes as rows (G, R, d) in the layer's order."""
        return np.ascontiguousarray(codes.transpose(1, 2, 0))


def total(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Sum over columns of the product of two (d, G, R), (G, R): one after another, on every machine."""
    return np.einsum("dgr,dgr->gr", left, right)


@dataclass(frozen=True, eq=False)
class FullMoment:
    """A damped second moment as :class:`FullRows` use it.

    Attributes:
        moment: (G, d, d), columns sorted by decreasing diagonal, on a grid.
        order: (G, d), column of the layer behind each column here.
    """

    moment: np.ndarray
    order: np.ndarray

    @classmethod
    def of(cls, moment: np.ndarray) -> FullMoment:
        """Of a damped moment (G, d, d) in the layer's order.

        Raises:
            ValueError: It is not finite.
        """
        if not np.isfinite(moment).all():
            raise ValueError("a layer's input moment is not finite")
        order = np.argsort(-np.einsum("gdd->gd", moment), axis=1, kind="stable")
        placed = moment[np.arange(len(order))[:, None, None], order[:, :, None], order[:, None, :]]
        bits = min(DIGITS - _DIGIT - (moment.shape[-1] - 1).bit_length(), 48)
        return cls(on_grid(placed, bits, -1), order)

    @cached_property
    def shares(self) -> np.ndarray:
        """(G, d, d), on a grid: what one step of error at column i adds to column j > i at [g, i, j].

        With H = U D U^T for a unit upper triangular U and a diagonal D, d^T H d is the sum of D_j (U^T d)_j^2: column j
        does best by making up for what the errors before it put there.
        """
        reverse = np.s_[:, ::-1, ::-1]
        factor = _factor(self.moment[reverse])[reverse]
        factor = factor / np.einsum("gdd->gd", factor)[:, None, :]
        return on_grid(factor, _FACTOR_BITS, -2)


def _factor(moment: np.ndarray) -> np.ndarray:
    """Lower factor of a damped moment (G, d, d).

    More is added to the diagonal where that is not enough: sums of values that differ by many orders of magnitude lose
    the small ones. Twice the whole diagonal outweighs any rounding.
    """
    mean = np.einsum("gdd->g", moment) / moment.shape[1]
    with contextlib.suppress(np.linalg.LinAlgError):
        return cholesky(moment)
    for extra in _MORE_DAMPING:
        with contextlib.suppress(np.linalg.LinAlgError):
            return cholesky(moment + (extra * mean)[:, None, None] * np.eye(moment.shape[1]))
    raise ValueError("a layer's input moment is not symmetric")


@dataclass(frozen=True, eq=False)
class FullRows:
    """Rows w measured by a whole moment H, laid out for work column by column.

    Columns come first, (d, G, R), so that one column of all rows is contiguous, and are sorted by decreasing diagonal.
    Codes q have that layout too; what the moment makes of them, H q, is their *state*. Blocks of columns stand like
    groups, (b, B, R), whose rows share a scale.

    Attributes:
        weight: (d, G, R), columns in the moment's order; (b, B, R) of blocks.
        known: the moment.
        pull: H w, like the weight.
        shape: (G, R, d).
    """

    weight: np.ndarray
    known: FullMoment
    pull: np.ndarray
    shape: tuple[int, int, int]

    @classmethod
    def of(cls, weight: np.ndarray, known: FullMoment) -> FullRows:
        """Of rows (G, R, d) in the layer's order."""
        groups, rows, width = weight.shape
        columns = sorted_columns(split(weight, len(known.moment)), known.order)
        pull = precise_product(known.moment, columns.transpose(1, 0, 2)).transpose(1, 0, 2)
        return cls(columns, known, np.ascontiguousarray(pull), (groups, rows, width))

    def state(self, codes: np.ndarray) -> np.ndarray:
        """What the moment makes of codes."""
        return times(self.known.moment, codes)

    def terms(self, codes: np.ndarray, state: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """q^T H q and q^T H w, (G, R) each."""
        return self._total(codes, state), self._total(codes, self.pull)

    def error(self, codes: np.ndarray, state: np.ndarray, step: np.ndarray) -> np.ndarray:
        """(G, R): (q step - w)^T H (q step - w)."""
        # Both factors are small, so that nothing cancels.
        left, right = codes * step, state * step
        left -= self.weight
        right -= self.pull
        return np.maximum(self._total(left, right), 0.0)

    def _total(self, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        return over_blocks(total(left, right), self.shape[0])

    def restore(self, codes: np.ndarray) -> np.ndarray:
        """Codes as rows (G, R, d) in the layer's order."""
        return join(restored_columns(codes, self.known.order), self.shape[0], self.shape[2])

    def carrier(self) -> Carrier:
        """Carries errors of earlier columns on to later ones, in one run over the columns."""
        return Carrier(self.known.shares, np.zeros_like(self.weight))

    def gradient(self, state: np.ndarray, step: np.ndarray, start: int, stop: int) -> np.ndarray:
        """H (q - w / step) at columns start..stop; the caller's to change."""
        return state[start:stop] - self.pull[start:stop] / step

    def inner(self, start: int, stop: int) -> np.ndarray:
        """H within columns start..stop, (G, w, w)."""
        return self.known.moment[:, start:stop, start:stop]

    def move(self, state: np.ndarray, start: int, stop: int, moves: np.ndarray) -> None:
        """Changes the state for codes of columns start..stop that change by ``moves`` (w, G, R)."""
        columns = self.known.moment[:, :, start:stop]
        moved = np.flatnonzero(moves.any(axis=(0, 1)))
        if 2 * len(moved) > moves.shape[2]:
            state += times(columns, moves)
            return
        # Few rows move in later sweeps.
        state[:, :, moved] += times(columns, np.ascontiguousarray(moves[:, :, moved]))


@dataclass(frozen=True)
class Carrier:
    """Adds what every block owes to all later columns at once."""

    factor: np.ndarray
    due: np.ndarray

    def owed(self, start: int, stop: int) -> np.ndarray:
        """What errors w / step - q of columns before ``start`` add to w / step at start..stop."""
        return self.due[start:stop]

    def shares(self, start: int, stop: int) -> np.ndarray:
        """What the error of column i adds to column j > i at [g, i, j], within start..stop."""
        return self.factor[:, start:stop, start:stop]

    def book(self, start: int, stop: int, errors: np.ndarray) -> None:
        """Takes the errors (w, G, R) of columns start..stop."""
        if stop < len(self.due):
            later = np.swapaxes(self.factor[:, start:stop, stop:], 1, 2)
            self.due[stop:] += batched(later, on_grid(errors, _ERROR_BITS, 0))


def times(columns: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """Columns (G, n, m) of a matrix on a grid times whole numbers (m, G, R) -> (n, G, R), digit by digit."""
    result, place = None, 1.0
    while np.abs(codes).max(initial=0.0) > 2.0**_DIGIT:
        higher = np.rint(codes * 2.0**-_DIGIT)
        part = place * batched(columns, codes - higher * 2.0**_DIGIT)
        result = part if result is None else result + part
        codes, place = higher, place * 2.0**_DIGIT
    part = place * batched(columns, codes) if place > 1 else batched(columns, codes)
    return part if result is None else result + part


def batched(matrix: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """(G, n, m) times (m, G, R) -> (n, G, R)."""
    if len(matrix) == 1:
        return (matrix[0] @ columns[:, 0])[:, None]
    return np.ascontiguousarray((matrix @ columns.transpose(1, 0, 2)).transpose(1, 0, 2))
