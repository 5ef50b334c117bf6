"""What one int8 scale leaves of the channels of a tensor, where they differ in size."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

_LEAST_DB = 10.0  # of a channel that is told apart at all
# A channel is lost if it is no larger than so many of its errors: two steps of the scale, of which an error is half.
_SMALL = 4.0
# Or where it is somewhat larger and has less than the decibels above. Maps of peaks are larger, and mostly near zero.
_DOUBTFUL = 16.0


class ChannelSums:
    """Real values of a tensor and what int8 makes of them, summed up over samples for every channel."""

    def __init__(self, channels: int) -> None:
        self.least = np.full(channels, np.inf)
        self.most = np.full(channels, -np.inf)
        self._signal = np.zeros(channels)
        self._noise = np.zeros(channels)
        self._worst = np.zeros(channels)
        self._low = np.full(channels, np.inf)
        self._high = np.full(channels, -np.inf)

    def add(self, expected: np.ndarray, values: np.ndarray, axis: int) -> None:
        """Takes in the values of a sample; channels lie along ``axis``."""
        real, made = (np.moveaxis(v, axis, 0).reshape(v.shape[axis], -1).astype(np.float64) for v in (expected, values))
        error = real - made
        self.least = np.minimum(self.least, real.min(axis=1))
        self.most = np.maximum(self.most, real.max(axis=1))
        self._low = np.minimum(self._low, made.min(axis=1))
        self._high = np.maximum(self._high, made.max(axis=1))
        self._signal += (real**2).sum(axis=1)
        self._noise += (error**2).sum(axis=1)
        self._worst = np.maximum(self._worst, np.abs(error).max(axis=1))

    @property
    def size(self) -> np.ndarray:
        """(channels,), largest absolute value of each."""
        return np.maximum(np.abs(self.least), np.abs(self.most))

    @property
    def decibels(self) -> np.ndarray:
        """(channels,), signal to noise of each; inf without noise."""
        with np.errstate(divide="ignore", invalid="ignore"):
            found = 10 * np.log10(self._signal / self._noise)
        return np.where(self._noise == 0, np.inf, found)

    @property
    def constant(self) -> np.ndarray:
        """(channels,), whether int8 makes one value of a channel that varies."""
        return (self._low == self._high) & (self.most > self.least)

    @property
    def lost(self) -> np.ndarray:
        """(channels,), whether a channel varies and little of it is left."""
        small = self.size <= _SMALL * self._worst
        doubtful = (self.size <= _DOUBTFUL * self._worst) & (self.decibels < _LEAST_DB)
        return (small | doubtful) & (self.most > self.least)


def channel_axes(shape: Sequence[int]) -> tuple[int, ...]:
    """Where channels may lie: last, or second where detectors put their boxes side by side: (1, 84, 8400)."""
    return (len(shape) - 1, 1) if len(shape) == 3 else (len(shape) - 1,) if len(shape) > 1 else ()


def channel_ranges(places: np.ndarray, most: int = 3) -> str:
    """Channel numbers in words: ``0..3, 7``."""
    runs = np.split(places, np.flatnonzero(np.diff(places) > 1) + 1)
    named = ", ".join(str(r[0]) if len(r) == 1 else f"{r[0]}..{r[-1]}" for r in runs[:most])
    return f"{named}{', ...' if len(runs) > most else ''}"
