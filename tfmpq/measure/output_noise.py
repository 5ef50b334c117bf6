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
    with serial_blas():
        for feeds in samples:
            values = read(feeds)
            for one in used:
                for index, use in enumerate(one.layer.uses):
                    value = values[use.float_input]
                    positions = choose_positions(one.layer, use, value, len(samples), rng)
                    patches = one.layer.kind.patches(value, one.layer.reading(use), positions=positions)
                    _add(sums[one.layer.name], one, index, patches)
    return {name: _result(found) for name, found in sums.items()}


def _add(sums: _Sums, rows: RowsInUse, use: int, patches: np.ndarray) -> None:
    """Adds the outputs of one sample's patches, (G, P, d)."""
    plain = rows.layer.grouped(rows.layer.weight.astype(np.float32))
    change = rows.layer.grouped(rows.weight - rows.layer.weight).astype(np.float32)
    outputs = patches @ np.swapaxes(plain, 1, 2)
    error = patches @ np.swapaxes(change, 1, 2)
    if rows.means is not None:
        error -= np.einsum("gd,grd->gr", rows.means[use], change)[:, None]
    sums.count += patches.shape[1]
    sums.total += outputs.sum(axis=1, dtype=np.float64)
    sums.square += float(np.square(outputs, dtype=np.float64).sum())
    sums.noise += float(np.square(error, dtype=np.float64).sum())


def _result(sums: _Sums) -> tuple[float, float]:
    if not sums.count:
        return 0.0, 0.0
    mean = sums.total / sums.count
    return max(sums.square / sums.count - float(np.square(mean).sum()), 0.0), sums.noise / sums.count
