"""Channels of outputs that vary in the float model and never change in a quantized file."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

LEAST = 1 / 64  # in the outputs' own unit: scores of 0..1 are lost, a probability of 0.01 is not


class Spans:
    """Least and largest value of every element of every output, over samples of one shape."""

    def __init__(self) -> None:
        self.low: list[np.ndarray] = []
        self.high: list[np.ndarray] = []
        self.same_shape = True

    def add(self, values: Sequence[np.ndarray]) -> None:
        """Takes in the outputs for one sample."""
        if not self.low:
            self.low, self.high = [np.array(v) for v in values], [np.array(v) for v in values]
        elif all(a.shape == b.shape for a, b in zip(self.low, values, strict=True)):
            self.low = [np.minimum(a, b) for a, b in zip(self.low, values, strict=True)]
            self.high = [np.maximum(a, b) for a, b in zip(self.high, values, strict=True)]
        else:  # nothing can be said of outputs whose size is that of their content
            self.same_shape = False


def still_channels(expected: Spans, found: Spans) -> tuple[tuple[int, int], ...]:
    """For every output, how many channels are one value in ``found`` and vary in ``expected``; and of how many.

    Channels are counted along the last axis, or the second where that has more of them: detectors put boxes side by
    side, (1, 84, 8400). What varies by less than :data:`LEAST` is no loss, as probabilities of absent classes.
    """
    if not (expected.same_shape and found.same_shape):
        return ((0, 0),) * len(expected.low)
    result = []
    for low, high, least, most in zip(expected.low, expected.high, found.low, found.high, strict=True):
        counts = [(0, 0)]
        for axis in _channel_axes(low.shape) if low.shape == least.shape else ():
            rest = tuple(i for i in range(low.ndim) if i != axis)
            # In float64: the difference of two float32 may be beyond them.
            spread = high.max(axis=rest).astype(np.float64) - low.min(axis=rest)
            still = (spread >= LEAST) & (most.max(axis=rest) == least.min(axis=rest))
            counts.append((int(still.sum()), still.size))
        result.append(max(counts))
    return tuple(result)


def _channel_axes(shape: tuple[int, ...]) -> tuple[int, ...]:
    return (len(shape) - 1, 1) if len(shape) == 3 else (len(shape) - 1,) if len(shape) > 1 else ()
