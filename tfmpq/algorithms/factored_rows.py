"""Rows whose error is measured by a factored moment: feedback and descent go through the samples, not the columns."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from tfmpq.algorithms.exact import DIGITS, on_grid, precise_product, product
from tfmpq.algorithms.factored import ROW_BITS, Factored, slices
from tfmpq.algorithms.feedback import BLOCK
from tfmpq.algorithms.full_rows import batched, damping, restored_columns, sorted_columns, times, total

_ERROR_BITS = DIGITS - ROW_BITS - (BLOCK - 1).bit_length()
_SHARE_BITS = 22


@dataclass(frozen=True, eq=False)
class FactoredMoment:
    """A damped factored moment as :class:`FactoredRows` use it; columns sorted by decreasing diagonal.

    Attributes:
        own: float64 (G, d), with damping.
        rows: float32 (G, n, d).
        order: (G, d), column of the layer behind each column here.
    """

    own: np.ndarray
    rows: np.ndarray
    order: np.ndarray

    @classmethod
    def of(cls, moment: Factored) -> FactoredMoment:
        """Dampens and sorts.

        Raises:
            ValueError: The moment is not finite.
        """
        diagonal = moment.diagonal
        if not np.isfinite(diagonal).all():
            raise ValueError("a layer's input moment is not finite")
        extra = damping(diagonal)
        order = np.argsort(-(diagonal + extra), axis=1, kind="stable")
        own = np.take_along_axis(moment.own + extra, order, 1)
        return cls(own, np.take_along_axis(moment.rows, order[:, None, :], 2), order)

    def block(self, start: int, stop: int) -> np.ndarray:
        """Columns of X, float64 (G, n, w)."""
        return self.rows[:, :, start:stop].astype(np.float64)

    @cached_property
    def answers(self) -> np.ndarray:
        """float32 (G, n, d), each column on a grid: V, whose products with X e say how columns make up for errors e.

        Given the output error r = X e of the columns before j, the best that column j and all later ones F can do
        adds v_j^T r to column j, v_j = M_j x_j / D_j, M_j = (I + X_F D_F^-1 X_F^T)^-1: the same as the factor of the
        whole H gives, by Woodbury's identity. M_j follows from M_(j+1) by one elimination, so V is made from its end.
        """
        groups, count, columns = self.rows.shape
        result = np.empty_like(self.rows)
        inverse = np.tile(np.eye(count), (groups, 1, 1))
        for start in reversed(range(0, columns, BLOCK)):
            stop = min(start + BLOCK, columns)
            block = self.block(start, stop)
            seen = precise_product(inverse, block)
            inner = precise_product(np.swapaxes(block, 1, 2), seen)
            np.einsum("gww->gw", inner)[...] += self.own[:, start:stop]
            pivots = np.empty((groups, stop - start))
            for j in reversed(range(stop - start)):
                pivots[:, j] = inner[:, j, j]
                across = inner[:, j, :j] / pivots[:, j, None]
                seen[:, :, :j] -= seen[:, :, j, None] * across[:, None, :]
                inner[:, :j, :j] -= inner[:, :j, j, None] * across[:, None, :]
                seen[:, :, j] /= pivots[:, j, None]
            inverse -= precise_product(seen * pivots[:, None, :], np.swapaxes(seen, 1, 2))
            result[:, :, start:stop] = on_grid(seen, _SHARE_BITS, 1)
        return result


@dataclass(frozen=True, eq=False)
class FactoredRows:
    """Rows measured by a factored moment; see :class:`tfmpq.algorithms.feedback.FeedbackRows`. A state is X q.

    Attributes:
        weight: (d, G, R), columns in the moment's order.
        known: the moment.
        image: (n, G, R), X w.
    """

    weight: np.ndarray
    known: FactoredMoment
    image: np.ndarray

    @classmethod
    def of(cls, weight: np.ndarray, known: FactoredMoment) -> FactoredRows:
        """Of rows (G, R, d) in the layer's order."""
        columns = sorted_columns(weight, known.order)
        image = np.zeros((known.rows.shape[1], *columns.shape[1:]))
        for part in slices(len(columns)):
            found = precise_product(known.block(part.start, part.stop), columns[part].transpose(1, 0, 2))
            image += found.transpose(1, 0, 2)
        return cls(columns, known, image)

    def state(self, codes: np.ndarray) -> np.ndarray:
        result = np.zeros_like(self.image)
        for part in slices(len(codes)):
            result += times(self.known.block(part.start, part.stop), codes[part])
        return result

    def terms(self, codes: np.ndarray, state: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        own = self._own
        norm = np.einsum("dgr,dgr,dg->gr", codes, codes, own) + total(state, state)
        return norm, np.einsum("dgr,dgr,dg->gr", codes, self.weight, own) + total(state, self.image)

    def error(self, codes: np.ndarray, state: np.ndarray, step: np.ndarray) -> np.ndarray:
        left, seen = codes * step, state * step
        left -= self.weight
        seen -= self.image
        return np.einsum("dgr,dgr,dg->gr", left, left, self._own) + total(seen, seen)

    @property
    def _own(self) -> np.ndarray:
        return self.known.own.T

    def restore(self, codes: np.ndarray) -> np.ndarray:
        return restored_columns(codes, self.known.order)

    def carrier(self) -> _FactoredCarrier:
        return _FactoredCarrier(self.known, np.zeros_like(self.image))

    def gradient(self, codes: np.ndarray, state: np.ndarray, step: np.ndarray, start: int, stop: int) -> np.ndarray:
        seen = on_grid(state - self.image / step, _bits(state), 0)
        result = batched(np.swapaxes(self.known.block(start, stop), 1, 2), seen)
        result += (codes[start:stop] - self.weight[start:stop] / step) * self._own[start:stop, :, None]
        return result

    def inner(self, start: int, stop: int) -> np.ndarray:
        block = self.known.block(start, stop)
        result = product(np.swapaxes(block, 1, 2), block)
        np.einsum("gww->gw", result)[...] += self.known.own[:, start:stop]
        return result

    def move(self, state: np.ndarray, start: int, stop: int, moves: np.ndarray) -> None:
        state += times(self.known.block(start, stop), moves)


@dataclass(frozen=True, eq=False)
class _FactoredCarrier:
    """Keeps the output error at the samples, (n, G, R)."""

    known: FactoredMoment
    seen: np.ndarray

    def owed(self, start: int, stop: int) -> np.ndarray:
        answers = self.known.answers[:, :, start:stop].astype(np.float64)
        return batched(np.swapaxes(answers, 1, 2), on_grid(self.seen, _bits(self.seen) - 1, 0))

    def shares(self, start: int, stop: int) -> np.ndarray:
        answers = self.known.answers[:, :, start:stop].astype(np.float64)
        return product(np.swapaxes(self.known.block(start, stop), 1, 2), answers)

    def book(self, start: int, stop: int, errors: np.ndarray) -> None:
        seen = self.seen
        seen += batched(self.known.block(start, stop), on_grid(errors, _ERROR_BITS, 0))


def _bits(samples: np.ndarray) -> int:
    """Bits of what is multiplied with X or V and summed over the samples."""
    return DIGITS - ROW_BITS - (len(samples) - 1).bit_length()
