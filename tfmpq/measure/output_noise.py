"""What rounded rows do to layers' outputs, on samples they were not fitted to."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from converters.layers.layer import Layer
from converters.tflite.graph import Model
from tfmpq.measure.joint import reader
from tfmpq.measure.moments import choose_positions
from tfmpq.threads import serial_blas


@dataclass(frozen=True)
class RowsInUse:
    """Rows as a file holds them.

    Attributes:
        layer: whose they are.
        weight: (C, d), real values.
        means: float64 (uses, G, d), the mean inputs whose output the biases make up for; None where they do not.
    """

    layer: Layer
    weight: np.ndarray
    means: np.ndarray | None


@dataclass
class _Sums:
    count: int = 0
    total: float | np.ndarray = 0.0
    square: float = 0.0
    noise: float = 0.0


def output_noise(
    model: Model, rows: Iterable[RowsInUse], samples: Sequence[dict[str, np.ndarray]], *, seed: int = 0
) -> dict[str, tuple[float, float]]:
    """Variance of every layer's float outputs and mean square of what its rounded rows add, summed over channels.

    Args:
        model: the float model.
        rows: of the layers to measure.
        samples: inputs by name; one run each.
        seed: of the choice of positions on large maps.

    Returns:
        Layer name -> (signal, noise).
    """
    used = list(rows)
    read = reader(model, list(dict.fromkeys(use.float_input for r in used for use in r.layer.uses)))
    rng = np.random.default_rng(seed)
    sums = {r.layer.name: _Sums() for r in used}
    products = {r.layer.name: _Products.of(r) for r in used}
    with serial_blas():
        for feeds in samples:
            values = read(feeds)
            for one in used:
                for index, use in enumerate(one.layer.uses):
                    value = values[use.float_input]
                    positions = choose_positions(one.layer, use, value, len(samples), rng)
                    patches = one.layer.kind.patches(value, one.layer.reading(use), positions=positions)
                    products[one.layer.name].add_to(sums[one.layer.name], index, patches)
    return {name: _result(found) for name, found in sums.items()}


@dataclass(frozen=True)
class _Products:
    """A layer's rows as patches are multiplied with them, laid out once.

    Attributes:
        plain: float32 (G, d, R), the float rows.
        change: float32 (G, d, R), what rounding adds to them.
        made_up: what the biases make up for, (G, 1, R) for each use.
    """

    plain: np.ndarray
    change: np.ndarray
    made_up: tuple[np.ndarray, ...] | None

    @classmethod
    def of(cls, rows: RowsInUse) -> _Products:
        plain = rows.layer.grouped(rows.layer.weight.astype(np.float32))
        change = rows.layer.grouped(rows.weight - rows.layer.weight).astype(np.float32)
        means = rows.means
        made_up = None if means is None else tuple(np.einsum("gd,grd->gr", mean, change)[:, None] for mean in means)
        return cls(np.swapaxes(plain, 1, 2), np.swapaxes(change, 1, 2), made_up)

    def add_to(self, sums: _Sums, use: int, patches: np.ndarray) -> None:
        """Adds the outputs of one sample's patches, (G, P, d)."""
        outputs, error = patches @ self.plain, patches @ self.change
        if self.made_up is not None:
            error -= self.made_up[use]
        sums.count += patches.shape[1]
        sums.total += outputs.sum(axis=1, dtype=np.float64)
        sums.square += float(np.square(outputs, dtype=np.float64).sum())
        sums.noise += float(np.square(error, dtype=np.float64).sum())


def _result(sums: _Sums) -> tuple[float, float]:
    if not sums.count:
        return 0.0, 0.0
    mean = sums.total / sums.count
    return max(sums.square / sums.count - float(np.square(mean).sum()), 0.0), sums.noise / sums.count
