"""What the channels of all activations of a float model are like on data: their ends, means and energy."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from converters.tflite.graph import Model, Tensor, TensorType
from tfmpq.activations.values.inner_values import in_parts, inner_values

_UNSEEN = math.log(100)  # of how many times more values a channel will have than are looked at
_PEAK = 4  # how many values have the energy of the largest, of some ten normal ones

Feed = Mapping[str, np.ndarray]


@dataclass(frozen=True, eq=False)
class ChannelStatistics:
    """Of one activation, over all its positions and samples.

    Attributes:
        low, high: (C,) smallest and largest value.
        mean, square: (C,) mean, and mean square.
        count: values of each channel that were looked at.
    """

    low: np.ndarray
    high: np.ndarray
    mean: np.ndarray
    square: np.ndarray
    count: int

    @property
    def growth(self) -> np.ndarray:
        """(C,) how many times as far a channel is likely to reach on data that were not looked at.

        The largest of n normal values grows as the square root of log n. Where a few values have nearly all the energy,
        as in channels that are zero almost everywhere, only these count.
        """
        top = np.maximum(np.abs(self.low), np.abs(self.high))
        alike = np.divide(self.count * self.square, top**2, out=np.zeros_like(self.square), where=top > 0)
        return np.sqrt(1 + _UNSEEN / np.log(2 + _PEAK * alike))

    @property
    def variance(self) -> np.ndarray:
        """(C,)."""
        return np.maximum(self.square - self.mean**2, 0.0)


Statistics = Mapping[Tensor, ChannelStatistics]


def channel_statistics(model: Model, samples: Sequence[Feed]) -> dict[Tensor, ChannelStatistics]:
    """Statistics of every float activation of the main graph whose channels, its last axis, are on file.

    A model with an open batch may reshape to sizes that it computes: the file says 1 of all of them then.

    Args:
        model: float.
        samples: feeds by signature input name, with batch dimension.

    Raises:
        FileFormatError: The runtime refuses the model.
    """
    written = (t for op in model.graph.ops for t in op.outputs if t.data is None)
    floats = (t for t in (*model.graph.inputs, *written) if t.type == TensorType.FLOAT32 and t.shape)
    activations = [t for t in floats if t.shape_signature is None or t.shape_signature[-1] != -1]
    sums: dict[Tensor, _Sums] = {}
    for part in in_parts(dict.fromkeys(activations)):
        for values in inner_values(model, part, samples):
            _add(sums, values)
    return {tensor: found.statistics() for tensor, found in sums.items()}


def within(statistics: Statistics, wider: Statistics) -> dict[Tensor, ChannelStatistics]:
    """The statistics with ends as wide as in both."""
    return {
        tensor: replace(own, low=np.minimum(own.low, wider[tensor].low), high=np.maximum(own.high, wider[tensor].high))
        for tensor, own in statistics.items()
    }


def cautious(statistics: Statistics) -> dict[Tensor, ChannelStatistics]:
    """The statistics with wider ends of the channels of which least was seen, as compared to others of their tensor."""
    found = {}
    for tensor, own in statistics.items():
        growth = own.growth / own.growth.min()
        found[tensor] = replace(own, low=own.low * growth, high=own.high * growth)
    return found


def _add(sums: dict[Tensor, _Sums], values: Mapping[Tensor, np.ndarray]) -> None:
    for tensor, array in values.items():
        if array.size:
            rows = array.reshape(-1, array.shape[-1])
            sums.setdefault(tensor, _Sums(rows.shape[1])).add(rows)


class _Sums:
    def __init__(self, channels: int) -> None:
        self.low, self.high = np.full(channels, np.inf), np.full(channels, -np.inf)
        self.sum, self.square, self.count = np.zeros(channels), np.zeros(channels), 0

    def add(self, rows: np.ndarray) -> None:
        self.low = np.minimum(self.low, rows.min(axis=0))
        self.high = np.maximum(self.high, rows.max(axis=0))
        self.sum += rows.sum(axis=0, dtype=np.float64)
        self.square += np.einsum("ij,ij->j", rows, rows, dtype=np.float64)
        self.count += len(rows)

    def statistics(self) -> ChannelStatistics:
        return ChannelStatistics(self.low, self.high, self.sum / self.count, self.square / self.count, self.count)
