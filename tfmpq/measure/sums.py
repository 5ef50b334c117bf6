"""Running sums of what a layer reads: mean and covariance, in memory that does not grow with the samples."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from tfmpq.algorithms.exact import bits_for
from tfmpq.measure.shrinkage import Scatter, shrink

_FLOAT32_DIGITS = 24
_STRIP = 2048  # columns of products at a time: a whole product of wide layers takes as much memory as their sums


class FullSums:
    """Running sums of rows: mean, covariance, and how much samples scatter about it.

    Products within a sample are exact (:mod:`tfmpq.algorithms.exact`), so that the sums do not depend on the machine's
    BLAS.

    Args:
        groups, columns: G and d of the rows.
    """

    def __init__(self, groups: int, columns: int) -> None:
        self.shift: np.ndarray | None = None
        self.total = np.zeros((groups, columns))
        self.square = np.zeros((groups, columns, columns))
        self.scatter = Scatter(groups, columns)
        self.count = 0

    def centre(self, point: np.ndarray) -> None:
        """Takes sums about a point near the mean, (G, 1, d); else it is the first sample's mean.

        The covariance of inputs far from zero would drown otherwise. Sums about one point can be added.
        """
        self.shift = point

    def state(self) -> dict[str, np.ndarray]:
        """The sums, by name: what :meth:`add_state` takes."""
        assert self.shift is not None
        own = {"shift": self.shift, "total": self.total, "square": self.square, "count": np.array(self.count)}
        return own | {f"scatter_{name}": array for name, array in self.scatter.state().items()}

    def add_state(self, state: Mapping[str, np.ndarray]) -> None:
        """Adds the sums of other samples, about the same point.

        Raises:
            ValueError: They are about another one, or of other columns.
        """
        shapes = [("total", self.total.shape), ("square", self.square.shape)]
        if any(state[name].shape != shape for name, shape in shapes):
            raise ValueError(f"sums of {state['total'].shape} rows are none of {self.total.shape}")
        if self.shift is None:
            self.shift = state["shift"]
        if not np.array_equal(self.shift, state["shift"]):
            raise ValueError("sums are about different points")
        self.total += state["total"]
        self.square += state["square"]
        self.count += int(state["count"])
        self.scatter.add_state({name[8:]: array for name, array in state.items() if name.startswith("scatter_")})

    def add(self, rows: np.ndarray) -> None:
        """Adds one sample's rows, (G, P, d)."""
        count = rows.shape[1]
        if self.shift is None:
            self.centre(rows.mean(axis=1, keepdims=True))
        rows = rows - self.shift
        largest = max(float(rows.max(initial=0.0)), -float(rows.min(initial=0.0)))
        exact = _on_one_grid(rows, largest).astype(np.float64)
        total = (np.ones((1, count)) @ exact)[:, 0]
        self.total += total
        self.count += count
        columns = exact.shape[2]
        for start in range(0, columns, _STRIP):
            part = exact[:, :, start : start + _STRIP]
            # A plain matrix product with itself costs half.
            square = (part[0].T @ exact[0])[None] if len(exact) == 1 else np.swapaxes(part, 1, 2) @ exact
            self.square[:, start : start + _STRIP] += square
            self.scatter.add(square, total, count, start)

    def mean(self) -> np.ndarray:
        """(G, d)."""
        assert self.shift is not None
        return self.shift[:, 0] + self.total / self.count

    def covariance(self, target: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """The covariance shrunk towards ``target``, and the target's share; see :func:`shrink`. Ends the sums."""
        offset, square = self.total / self.count, self.square
        square /= self.count
        variance = self.scatter.variance(square, offset)
        for start in range(0, square.shape[1], _STRIP):
            square[:, start : start + _STRIP] -= offset[:, start : start + _STRIP, None] * offset[:, None, :]
        return shrink(square, variance, target)


def _on_one_grid(rows: np.ndarray, largest: float) -> np.ndarray:
    """float32 rows (G, P, d) of magnitudes up to ``largest``, rounded in place so that sums of products are exact.

    As :func:`tfmpq.algorithms.exact.on_grid`, with one unit for all and float32's speed.
    """
    bits, top = min(bits_for(rows.shape[1]), _FLOAT32_DIGITS - 2), int(np.frexp(largest)[1])
    shift = np.ldexp(np.float32(1.5), top - bits + _FLOAT32_DIGITS - 1)
    if np.isfinite(shift):  # else values are at the end of float32's range, and their squares of no use to anybody
        rows += shift
        rows -= shift
    return rows
