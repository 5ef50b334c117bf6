"""What rounded rows do to layers' outputs, on samples they were not fitted to."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from converters.layers.layer import Layer
from converters.points import row_parts
from converters.reference.position_gradients import Relevance
from converters.tflite.graph import Model
from tfmpq.measure.joint import reader
from tfmpq.measure.lookups import count_lookups
from tfmpq.measure.moments import choose_positions
from tfmpq.threads import serial_blas

_ALL: Relevance = MappingProxyType({})
_SPARSE = 4  # of the positions that moments are taken of: a single figure of all channels needs few
_MOST_WAITING = 1 << 24  # numbers of patches that wait for rows to be laid out


@dataclass(frozen=True)
class RowsInUse:
    """Rows as a file holds them.

    Attributes:
        layer: whose they are.
        rows: gives some of the rows, real values (n, d).
        means: float64 (uses, G, d), the mean inputs whose output the biases make up for; None where they do not.
    """

    layer: Layer
    rows: Callable[[slice], np.ndarray]
    means: np.ndarray | None


class _Sums:
    """Running sums of outputs, by channel, and of their squares."""

    def __init__(self) -> None:
        self.count = 0
        self._totals: dict[int, np.ndarray] = {}  # by the first row of a part
        self._square = self._noise = 0.0

    def add(self, part: slice, outputs: np.ndarray, error: np.ndarray) -> None:
        """Adds outputs of some rows and what rounding adds to them, (G, P, R)."""
        total = outputs.sum(axis=1)
        self._totals[part.start] = self._totals.get(part.start, 0.0) + total
        self._square += float(np.square(outputs).sum())
        self._noise += float(np.square(error).sum())

    def add_weighted(self, weight: np.ndarray, rows: np.ndarray, error: np.ndarray) -> None:
        """Adds rows (n, d) that are the output ``weight`` times each, and what rounding adds to them.

        Their mean is none of the output's: one row that fills sequences up would be most of it.
        """
        self.count += int(weight.sum())
        self._square += float(weight @ np.square(rows).sum(axis=1))
        self._noise += float(weight @ np.square(error).sum(axis=1))

    def result(self) -> tuple[float, float]:
        """Variance of the outputs and mean square of the noise, summed over channels."""
        if not self.count:
            return 0.0, 0.0
        mean = sum(float(np.square(total / self.count).sum()) for total in self._totals.values())
        return max(self._square / self.count - mean, 0.0), self._noise / self.count


def output_noise(
    model: Model,
    rows: Iterable[RowsInUse],
    samples: Sequence[dict[str, np.ndarray]],
    *,
    relevance: Relevance = _ALL,
    seed: int = 0,
) -> dict[str, tuple[float, float]]:
    """Variance of every layer's float outputs and mean square of what its rounded rows add, summed over channels.

    Args:
        model: the float model.
        rows: of the layers to measure.
        samples: inputs by name; one run each.
        relevance: of layers at some of whose positions nothing is computed that counts, those that do.
        seed: of the choice of positions on large maps.

    Returns:
        Layer name -> (signal, noise).
    """
    every = list(rows)
    used = [r for r in every if not r.layer.kind.table]
    read = reader(model, list(dict.fromkeys(use.float_input for r in used for use in r.layer.uses)))
    rng = np.random.default_rng(seed)
    products = {r.layer.name: _Products(r) for r in used}
    with serial_blas():
        for number, feeds in enumerate(samples):
            values = read(feeds)
            for one in used:
                counting = relevance[one.layer.name][number] if one.layer.name in relevance else None
                for index, use in enumerate(one.layer.uses):
                    value = values[use.float_input]
                    positions = choose_positions(one.layer, use, value, _SPARSE * len(samples), rng, counting)
                    patches = one.layer.kind.patches(value, one.layer.reading(use), positions=positions)
                    products[one.layer.name].add(index, patches)
        found = {name: found.finish() for name, found in products.items()}
    return found | _lookup_noise(model, [r for r in every if r.layer.kind.table], samples, relevance)


def _lookup_noise(
    model: Model, rows: Sequence[RowsInUse], samples: Sequence[dict[str, np.ndarray]], relevance: Relevance
) -> dict[str, tuple[float, float]]:
    """The same of tables: each row counts as often as it is looked up."""
    if not rows:
        return {}
    counts = count_lookups(model, [r.layer for r in rows], lambda: iter(samples), relevance)
    result = {}
    for one in rows:
        layer, sums = one.layer, _Sums()
        for part in row_parts(*layer.weight.shape):
            taken = np.flatnonzero(counts[layer.name][part])
            plain = layer.weight[part][taken].astype(np.float64)
            error = one.rows(part)[taken] - plain
            weight = counts[layer.name][part][taken]
            sums.add_weighted(weight, plain, error)
        result[layer.name] = sums.result()
    return result


class _Products:
    """A layer's rows as patches are multiplied with them, laid out once; some at a time where they are large.

    What comes then waits until many patches are there, or the samples end.
    """

    def __init__(self, rows: RowsInUse) -> None:
        self._rows = rows
        layer = rows.layer
        self._parts = row_parts(*layer.weight.shape) if layer.groups == 1 else [slice(0, layer.channels)]
        self._laid_out = self._lay_out(self._parts[0]) if len(self._parts) == 1 else None
        self._waiting: list[list[np.ndarray]] = [[] for _ in layer.uses]
        self.sums = _Sums()

    def add(self, use: int, patches: np.ndarray) -> None:
        """Adds the outputs of one sample's patches, (G, P, d)."""
        if self._laid_out is not None:
            self._add(use, patches, *self._laid_out)
            self.sums.count += patches.shape[1]
            return
        waiting = self._waiting[use]
        waiting.append(patches.copy())
        if sum(some.size for some in waiting) > _MOST_WAITING:
            self._flush(use)

    def finish(self) -> tuple[float, float]:
        """Signal and noise."""
        for use in range(len(self._waiting)):
            self._flush(use)
        return self.sums.result()

    def _flush(self, use: int) -> None:
        if not self._waiting[use]:
            return
        patches = np.concatenate(self._waiting[use], axis=1)
        self._waiting[use] = []
        for part in self._parts:
            self._add(use, patches, *self._lay_out(part))
        self.sums.count += patches.shape[1]

    def _lay_out(self, part: slice) -> tuple[slice, np.ndarray, np.ndarray]:
        """The rows and float64 (G, d, R): the float rows, and what rounding adds to them."""
        layer = self._rows.layer
        plain = layer.weight[part].astype(np.float64)
        plain, change = (np.swapaxes(layer.grouped(x), 1, 2) for x in (plain, self._rows.rows(part) - plain))
        return part, plain, change

    def _add(self, use: int, patches: np.ndarray, part: slice, plain: np.ndarray, change: np.ndarray) -> None:
        # In float64, whatever BLAS adds first: the figures are the same to 40 bits and more.
        patches = patches.astype(np.float64)
        outputs, error = patches @ plain, patches @ change
        if self._rows.means is not None:  # the biases make up for it
            error -= np.einsum("gd,gdr->gr", self._rows.means[use], change)[:, None]
        self.sums.add(part, outputs, error)
