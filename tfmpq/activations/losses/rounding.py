"""How well integers hold the values of one activation, and what would hold them better."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

import numpy as np

from converters.tflite.graph import NUMPY_TYPES, Tensor, TensorType
from tfmpq.activations.values.sqnr import sqnr_db

Cure = Literal["none", "equalize", "range", "mask", "outputs", "two points"]
Range = tuple[float, float]

GOOD_DB = 25.0  # nothing to be done: as good as 4 bits of weights with a second point
_WORTH_DB = 3.0  # half the noise
_ROWS = 1 << 13  # values of a tensor, or one position of it, that are looked at in a sample
_CLIPS = (0.5, 0.25, 0.125, 0.0625)  # parts of the range that might be enough
_LEVELS = 255
_FAR, _ALIKE, _BULK_STEPS, _BULK_SHARE = 50, 0.1, 4, 0.05  # masks: far off, all alike, the others in a few steps
_INTEGERS = (TensorType.INT8, TensorType.UINT8, TensorType.INT16)


@dataclass(frozen=True)
class Grid:
    """The integers of one tensor.

    Attributes:
        step: what one of them is worth.
        low, high: the least and the largest, counted from that which stands for zero.
    """

    step: float
    low: int
    high: int

    @classmethod
    def of(cls, tensor: Tensor) -> Grid | None:
        """That of a quantized activation; None: it is none."""
        if tensor.type not in _INTEGERS or tensor.quantization is None or tensor.quantization.scale.size != 1:
            return None
        limits = np.iinfo(NUMPY_TYPES[tensor.type])
        return cls(tensor.scale, int(limits.min) - tensor.zero_point, int(limits.max) - tensor.zero_point)

    def rounded(self, values: np.ndarray) -> np.ndarray:
        """Real values as the integers hold them."""
        return np.clip(np.rint(values / self.step), self.low, self.high) * self.step


def some_rows(value: np.ndarray) -> np.ndarray:
    """Evenly spaced positions of an activation, as many as there is time for: float32 (positions, channels)."""
    rows = np.asarray(value).reshape(-1, value.shape[-1] if value.ndim > 1 else 1)
    every = max(1, rows.size // max(_ROWS, rows.shape[1]))
    return rows[::every].astype(np.float32)


@dataclass(frozen=True, eq=False)
class Values:
    """Some values of an activation.

    Attributes:
        rows: float64 (positions, channels), finite.
        counts: float64 (channels,), how much an error's energy counts in each channel.
        bulk: bool like ``rows``, which of them count, as those beside a mask do; None: all.
    """

    rows: np.ndarray
    counts: np.ndarray
    bulk: np.ndarray | None = None

    def decibels(self, held: np.ndarray) -> float:
        """Signal to noise of what holds them. A constant says nothing, however large it is."""
        rows, errors = self.rows, np.square(self.rows - held)
        if self.bulk is not None:
            return sqnr_db(float(rows[self.bulk].var()) * rows[self.bulk].size, float(errors[self.bulk].sum()))
        return sqnr_db(float(rows.var(axis=0) @ self.counts) * len(rows), float(errors.sum(axis=0) @ self.counts))

    def with_mean(self, held: np.ndarray) -> float:
        """The same, the mean of channels being signal too."""
        counted = np.ones_like(self.rows, bool) if self.bulk is None else self.bulk
        signal, errors = (np.where(counted, np.square(x), 0.0).sum(axis=0) for x in (self.rows, self.rows - held))
        return sqnr_db(float(signal @ self.counts), float(errors @ self.counts))


def figures(values: Values, grid: Grid) -> tuple[float, float, int]:
    """How well integers hold an activation.

    Returns:
        Signal to rounding noise in dB, with this grid and with a step for every channel in proportion to its range;
        and the number of channels that vary, but not in integers.
    """
    rows = values.rows
    held = grid.rounded(rows)
    lost = int(((np.ptp(rows, axis=0) > 0) & (np.ptp(held, axis=0) == 0)).sum())
    spans = np.maximum(rows.max(axis=0), 0) - np.minimum(rows.min(axis=0), 0)
    steps = grid.step * spans / spans.max()
    apart = np.divide(rows, steps, out=np.zeros_like(rows), where=steps > 0)
    return values.decibels(held), values.decibels(np.rint(apart) * steps), lost


def within(rows: np.ndarray, grid: Grid) -> np.ndarray | None:
    """Which values integers can hold, where what reads them makes nothing of others; None: all of them."""
    held = (rows >= (grid.low - 1) * grid.step) & (rows <= (grid.high + 1) * grid.step)
    return None if held.all() or held.sum() < 2 else held


def beside_mask(rows: np.ndarray, step: float) -> np.ndarray | None:
    """Which values are others than masked ones, where those stretch the range so far that the others coincide."""
    far = rows <= -_FAR * step
    rest = rows[~far]
    if not far.any() or rest.size < _BULK_SHARE * rows.size or not 0 < np.ptp(rest) < _BULK_STEPS * step:
        return None
    masked = rows[far]
    return ~far if np.ptp(masked) <= _ALIKE * np.abs(masked).max() else None


def cure_of(
    values: Values, own: float, by_channel: float, *, output: bool, excluded: Collection[Cure]
) -> tuple[Cure, Range | None]:
    """What would make an activation better: the cure, and the range to be covered where that is the cure.

    Args:
        values: some of it.
        own, by_channel: its figures.
        output: whether it is an output of the model, which nobody else scales back.
        excluded: what is not possible, or was tried.
    """
    if own >= GOOD_DB:
        return "none", None
    if output:
        return "outputs", None
    clipped, span = _clipped(values)
    equalized = -np.inf if "equalize" in excluded else by_channel
    clipped = -np.inf if "range" in excluded else clipped
    if max(clipped, equalized) < own + _WORTH_DB:
        return "two points", None
    return ("range", span) if clipped > equalized else ("equalize", None)


def _clipped(values: Values) -> tuple[float, Range]:
    """The best part of the range that integers may cover, the rest being clipped, and the SQNR then."""
    low, high = min(float(values.rows.min()), 0.0), max(float(values.rows.max()), 0.0)

    def attempt(part: float) -> tuple[float, Range]:
        step = (high - low) * part / _LEVELS
        least = round(low * part / step)
        held = Grid(step, least, least + _LEVELS).rounded(values.rows)
        return values.decibels(held), (float(f"{low * part:.3g}"), float(f"{high * part:.3g}"))

    return max(map(attempt, _CLIPS), key=lambda found: found[0])
