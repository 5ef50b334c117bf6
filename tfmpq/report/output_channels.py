"""What a quantized file leaves of the single channels of its outputs, which the figure of a whole output hides.

Where boxes and scores share a tensor, the boxes are nearly all of its energy: scores may be lost at 60 dB.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tfmpq.activations.values.sqnr import sqnr_db

LEAST = (
    1 / 64
)  # in the output's own unit: scores of 0..1 count, the probability of a class that no sample shows does not


@dataclass(frozen=True)
class OutputChannels:
    """One output of a file against the float model's.

    Attributes:
        count: channels that vary in the float model, by :data:`LEAST` or more.
        still: those of them that are one value in the file.
        of: all channels.
        median_db: signal to noise that half of the varying channels have at most; None if none varies.
    """

    count: int
    still: int
    of: int
    median_db: float | None


class ChannelSums:
    """Running sums of one output, by channel.

    Channels lie along the last axis, or where three are, the shorter one behind the batch: detectors put boxes side by
    side, (1, 84, 8400).
    """

    def __init__(self) -> None:
        self._known: np.ndarray | None = None  # (channels, 6)

    def add(self, expected: np.ndarray, found: np.ndarray) -> None:
        """Takes in the float output and the file's for one sample."""
        if expected.shape != found.shape or expected.ndim < 2 or not expected.size:
            return
        axis = 1 if expected.ndim == 3 and expected.shape[1] < expected.shape[2] else expected.ndim - 1
        real, made = (np.moveaxis(x, axis, 0).reshape(x.shape[axis], -1).astype(np.float64) for x in (expected, found))
        sums = (np.square(real).sum(axis=1), np.square(real - made).sum(axis=1))
        ends = (real.min(axis=1), -real.max(axis=1), made.min(axis=1), -made.max(axis=1))
        new = np.stack((*sums, *ends), axis=1)
        if self._known is None:
            self._known = new
        elif len(self._known) == len(new):  # a size that depends on the content has no channels
            self._known[:, :2] += new[:, :2]
            self._known[:, 2:] = np.minimum(self._known[:, 2:], new[:, 2:])

    def result(self) -> OutputChannels:
        """What the sums come to."""
        if self._known is None:
            return OutputChannels(0, 0, 0, None)
        squares, noise, low, high, least, most = self._known.T
        varying = -high - low >= LEAST
        still = int((varying & (least == -most)).sum())
        ratios = sorted(sqnr_db(float(s), float(n)) for s, n in zip(squares[varying], noise[varying], strict=True))
        median = ratios[(len(ratios) - 1) // 2] if ratios else None
        return OutputChannels(int(varying.sum()), still, len(low), median)
