"""Sums of what one use of a layer reads, and what they say of the layer once they are complete."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from converters.layers.layer import Layer, Use
from converters.tflite.graph import NUMPY_TYPES, Graph, Model, Tensor
from tfmpq.algorithms.blocks import block_count, join, split
from tfmpq.algorithms.evidence import LayerStatistics
from tfmpq.measure.sums import FullSums

MAX_FULL_COLUMNS = 8192  # wider layers (large Flatten + Dense) keep blocks on the diagonal of their moments only
SMALL_COLUMNS = 2048  # layers up to it always keep all; the widest block of wider ones
_FEW_COLUMNS = 512  # of a block where there are fewer positions than columns: see tfmpq.algorithms.blocks
_ROUNDING_STRIDE = 4


class Moments:
    """Running sums for one use of one layer.

    Args:
        layer: whose.
        source: of the int8 twin: how this input is quantized.
        pooled: whose mean over positions this input is.
        samples: how many there will be.
    """

    def __init__(self, layer: Layer, source: Tensor, pooled: Tensor | None, samples: int) -> None:
        self.source, self.pooled = source, pooled
        self._layer, self._samples = layer, samples
        self._rows: FullSums | None = None  # the first sample shows how wide its blocks may be
        target = pooled is not None and layer.columns <= MAX_FULL_COLUMNS
        self.positions = FullSums(layer.groups, layer.columns) if target else None
        self.rounding = np.zeros((layer.groups, layer.columns))
        self.rounding_count = self.beyond = 0

    @property
    def rows(self) -> FullSums:
        """The sums, once there are any."""
        assert self._rows is not None
        return self._rows

    def mean(self) -> np.ndarray:
        """(G, d)."""
        return join(self.rows.mean()[:, None], self._layer.groups, self._layer.columns)[:, 0]

    def add_sample(self, use: Use, values: Mapping[Tensor, np.ndarray], positions: np.ndarray | None) -> None:
        """Adds what the layer reads of one sample at some of its positions."""
        self.add(self._layer.kind.patches(values[use.float_input], self._layer.reading(use), positions=positions))
        if self.pooled is not None and self.positions is not None:
            self.positions.add(values[self.pooled].reshape(1, -1, self._layer.columns))

    def means(self, use: Use, values: Mapping[Tensor, np.ndarray], positions: np.ndarray | None) -> list[np.ndarray]:
        """Means of what :meth:`add_sample` would add, for :meth:`centre`."""
        rows = self._layer.kind.patches(values[use.float_input], self._layer.reading(use), positions=positions)
        self._blocked(rows.shape[1])
        found = [split(rows, len(self.rows.total))]
        if self.pooled is not None and self.positions is not None:
            found.append(values[self.pooled].reshape(1, -1, self._layer.columns))
        return [rows.mean(axis=1, keepdims=True) for rows in found]

    def centre(self, points: Sequence[np.ndarray]) -> None:
        """Takes sums about points in the form of :meth:`means`; see :meth:`FullSums.centre`."""
        self.rows.centre(points[0])
        if self.positions is not None:
            self.positions.centre(points[1])

    def state(self) -> dict[str, np.ndarray]:
        """The sums, by name: what :meth:`add_state` takes."""
        parts = {"rows": self.rows} | ({} if self.positions is None else {"positions": self.positions})
        own = {f"{part}_{name}": array for part, sums in parts.items() for name, array in sums.state().items()}
        return own | {"rounding": self.rounding, "counts": np.array([self.rounding_count, self.beyond])}

    def add_state(self, state: Mapping[str, np.ndarray]) -> None:
        """Adds the sums of other samples, about the same point.

        Raises:
            ValueError: They are about another one, or of another layer.
        """
        if self._rows is None:
            self._rows = FullSums(*state["rows_total"].shape)
        for part, sums in (("rows", self._rows), ("positions", self.positions)):
            if sums is not None:
                start = f"{part}_"
                sums.add_state({k.removeprefix(start): v for k, v in state.items() if k.startswith(start)})
        self.rounding += state["rounding"]
        count, beyond = state["counts"]
        self.rounding_count += int(count)
        self.beyond += int(beyond)

    def add(self, rows: np.ndarray) -> None:
        """Adds one sample's rows, (G, P, d)."""
        if not self._layer.reads_float:
            self._add_rounding(rows)
        self._blocked(rows.shape[1])
        self.rows.add(split(rows, len(self.rows.total)))

    def _blocked(self, positions: int) -> None:
        """Makes the sums once it is known how many positions a sample has."""
        if self._rows is None:
            blocks = self._blocks(positions)
            self._rows = FullSums(self._layer.groups * blocks, -(-self._layer.columns // blocks))

    def _add_rounding(self, rows: np.ndarray) -> None:
        # Stock ranges are the minimum and maximum of these very data, so int8 only rounds them; of shards what lies
        # beyond is counted. The mean rounding error settles fast: a quarter of the positions is enough.
        steps = rows[:, ::_ROUNDING_STRIDE] * np.float32(1 / self.source.scale)
        error = np.rint(steps)
        codes, zero = np.iinfo(NUMPY_TYPES[self.source.type]), self.source.zero_point
        self.beyond += np.count_nonzero((error < codes.min - zero) | (error > codes.max - zero))
        error -= steps
        self.rounding += error.sum(axis=1)
        self.rounding_count += error.shape[1]

    def share_beyond(self) -> float:
        """Share of the values that lie beyond the range of int8."""
        return self.beyond / max(self.rounding_count * self.rounding.size, 1)

    def quantized_mean(self) -> np.ndarray:
        """(G, d), of the input as int8 has it. Rows that the runtime rounds one by one keep their mean."""
        if self._layer.reads_float:
            return self.mean()
        return self.mean() + self.rounding * self.source.scale / self.rounding_count

    def _blocks(self, positions: int) -> int:
        """How many blocks of columns: several where there is no room for a whole, or too little is known of it."""
        columns = self._layer.columns
        if columns <= SMALL_COLUMNS or self._layer.groups > 1:
            return 1
        few = positions * self._samples <= columns // 2 and self.positions is None
        if columns <= MAX_FULL_COLUMNS and not few:
            return 1
        return block_count(columns, _FEW_COLUMNS if few else SMALL_COLUMNS)

    def covariance(self) -> tuple[np.ndarray, np.ndarray]:
        """The best guess of the inputs' covariance, and how much of it is not theirs. Ends the sums.

        Means over positions have fewer samples than what they are means of, and are correlated alike.
        """
        return self.rows.covariance(None if self.positions is None else self.positions.covariance()[0])


def sums_of(model: Model, layers: Sequence[Layer], count: int) -> dict[str, list[Moments]]:
    """Sums of no sample yet, for each use of every layer; see :class:`Gathering`."""
    return {
        layer.name: [
            Moments(layer, use.int8_input, pooled_tensor(model.graph, use.float_input), count) for use in layer.uses
        ]
        for layer in layers
    }


def finish(moments: Sequence[Moments]) -> LayerStatistics:
    """What the sums of each use of a layer say. Ends the sums."""
    means = [sums.mean() for sums in moments]
    quantized = [sums.quantized_mean() for sums in moments]
    positions = sum(sums.rows.count for sums in moments)
    total, share = moments[0].covariance()
    for sums in moments[1:]:
        covariance, its_share = sums.covariance()
        total += covariance
        share = share + its_share
    if len(moments) > 1:
        total /= len(moments)
        share = share / len(moments)
    return LayerStatistics(np.stack(means), np.stack(quantized), total, positions, share)


def pooled_tensor(graph: Graph, tensor: Tensor) -> Tensor | None:
    """The activation (1, ..., C) whose mean over all positions ``tensor`` is; None if it is no such mean."""
    op = graph.producers().get(tensor)
    while op is not None and op.name in ("RESHAPE", "SQUEEZE"):
        op = graph.producers().get(op.input(0))
    if op is None or op.name not in ("MEAN", "AVERAGE_POOL_2D"):
        return None
    source = op.input(0)
    channels = source.shape[-1]
    axes = {int(axis) % len(source.shape) for axis in op.input(1).array().ravel()} if op.name == "MEAN" else set()
    whole = len(source.shape) > 2 and math.prod(tensor.shape[1:]) == channels == tensor.shape[-1]
    return source if whole and len(source.shape) - 1 not in axes else None
