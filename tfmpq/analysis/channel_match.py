"""Recovers the channel order of a file that tfmpq wrote: split and parallel layers have their rows sorted.

The order is not noted in the file. It is found by what the channels compute on a few samples: tied channels (of a
residual block, say) are judged together, and an order counts only where it fits clearly better than none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from converters.layers.channel_rules import joined_inputs, joins_channels, width
from converters.layers.kinds import kind_of
from converters.layers.restoring import restorable_groups
from converters.tflite.graph import Graph, Tensor

_POSITIONS = 512  # of a sample's tensor that are looked at
_WIDEST = 2048  # channels; flattened images have more, and an order nothing can change
_CLEARLY = 0.9  # an order must leave less than this share of the distance that is there without it
_PRECISE = 0.1  # distance, relative to the channels' size, that few positions do not give by chance


@dataclass
class _Evidence:
    """Sums over positions for one group of tied channels: squares of either side, products, and how many."""

    first: np.ndarray
    second: np.ndarray
    both: np.ndarray
    positions: int


class ChannelMatcher:
    """Gathers evidence sample by sample.

    Args:
        graph: main graph of one of the two files, if possible one that no lowering has reordered.
        tensors: its tensors, one for each pair of activations.
        widths: channels of each pair.
        lowered: whether a lowering may have reordered that one too.
        scaled: whether channels may be scaled against one another, so that only their course tells them apart.
    """

    def __init__(
        self, graph: Graph, tensors: Sequence[Tensor], widths: Sequence[int], *, lowered: bool, scaled: bool = False
    ) -> None:
        self._scaled = scaled
        groups = {} if lowered else restorable_groups(graph)
        tied = _tied(graph) if lowered else {}
        self._parts: list[list[tuple[object, slice]]] = []
        for tensor, channels in zip(tensors, widths, strict=True):
            segments = groups.get(tensor)
            if lowered:  # pieces of a lowering are no pieces of the order between two files
                parts = [(tied.get(tensor, tensor), slice(0, channels))]
            elif segments is None or sum(g.size for g in segments) != channels:
                parts = []
            else:
                ends = np.cumsum([g.size for g in segments])
                parts = [(g, slice(e - g.size, e)) for g, e in zip(segments, ends, strict=True) if g.frozen is None]
            self._parts.append([(key, part) for key, part in parts if 1 < part.stop - part.start <= _WIDEST])
        self._widths = list(widths)
        self._evidence: dict[object, _Evidence] = {}

    def add(self, pair: int, first: np.ndarray, second: np.ndarray) -> None:
        """Real values of one pair of activations, for one sample, channels last."""
        if not self._parts[pair]:
            return
        rows = [x.reshape(-1, self._widths[pair]).astype(np.float32) for x in (first, second)]
        stride = -(-len(rows[0]) // _POSITIONS)
        a, b = (x[::stride] for x in rows)
        # Every tensor of a group counts the same, whatever its range.
        axis = 0 if self._scaled else None
        a, b = (x / np.maximum(np.linalg.norm(x, axis=axis), 1e-30) for x in (a, b))
        for key, part in self._parts[pair]:
            x, y = a[:, part], b[:, part]
            found = (np.square(x).sum(axis=0), np.square(y).sum(axis=0), x.T @ y, len(x))
            known = self._evidence.get(key)
            if known is None:
                self._evidence[key] = _Evidence(*found)
            else:
                known.first += found[0]
                known.second += found[1]
                known.both += found[2]
                known.positions += found[3]

    def orders(self) -> list[np.ndarray | None]:
        """For each pair, which channel of the first file stands at each place in the second; None: the same."""
        chosen = {key: _assign(evidence) for key, evidence in self._evidence.items()}
        result: list[np.ndarray | None] = []
        for parts, channels in zip(self._parts, self._widths, strict=True):
            order = np.arange(channels)
            for key, part in parts:
                found = chosen.get(key)
                if found is not None:
                    order[part] = part.start + found
            result.append(None if (order == np.arange(channels)).all() else order)
        return result


def _assign(evidence: _Evidence) -> np.ndarray | None:
    """Pairs channels by distance relative to their size, nearest first; None if that is no better than no order."""
    sizes = evidence.first[:, None] + evidence.second[None, :]
    distance = np.maximum(sizes - 2 * evidence.both, 0) / np.maximum(sizes, 1e-30)
    # Channels that are zero in both files fit each other anywhere: they stay where they are.
    distance[np.diag_indices(len(distance))] -= 1e-6
    places = np.arange(len(distance))
    order = np.full(len(distance), -1)
    free = distance.copy()
    while (order < 0).any():  # each is the other's nearest; the nearest of all pairs is among them every time
        nearest = free.argmin(axis=0)
        mutual = (free.argmin(axis=1)[nearest] == places) & (order < 0)
        order[mutual] = nearest[mutual]
        free[:, mutual] = np.inf
        free[nearest[mutual], :] = np.inf
    left = distance[order, places]
    ratio = left.sum() / distance[places, places].sum()
    # Of C unrelated channels the nearest is nearer than a given one by about this much.
    chance = np.sqrt(2 * np.log(len(order)) / evidence.positions)
    clear = ratio < _CLEARLY and (np.median(left) < _PRECISE or ratio < 1 - 2 * chance)
    return order if clear else None


def _tied(graph: Graph) -> dict[Tensor, Tensor]:
    """Activation -> the first one whose channels are its own, operators in between keeping them apart."""
    first: dict[Tensor, Tensor] = {}
    for op in graph.ops:
        joined = joined_inputs(op)
        if (kind := kind_of(op)) is not None:
            joined = (0,) if kind.per_channel else ()
        if isinstance(joined, str) or joins_channels(op):
            continue
        for tensor in (op.inputs[i] for i in joined):
            if tensor is not None and tensor.data is None and width(tensor) == width(op.outputs[0]):
                root, other = _root(first, tensor), _root(first, op.outputs[0])
                if root is not other:
                    first[other] = root
    return {tensor: _root(first, tensor) for tensor in graph.tensors()}


def _root(first: dict[Tensor, Tensor], tensor: Tensor) -> Tensor:
    while tensor in first:
        tensor = first[tensor]
    return tensor
