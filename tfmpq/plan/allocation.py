"""Which rows get further points: a knapsack on predicted loss per byte."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np


@dataclass(frozen=True)
class LayerOptions:
    """What further points of one layer buy and cost.

    Attributes:
        name: layer name.
        gains: (C, max_points - 1), predicted fall of the network's loss when row c goes from i + 1 to i + 2 points.
        cost: bytes a further point adds to a row.
        order: rows from first to last to be served, where the layer must take a prefix of a given channel order;
            None where every row may be chosen.
    """

    name: str
    gains: np.ndarray
    cost: float
    order: np.ndarray | None = None


class _Step(NamedTuple):
    """Rows that are served together: their gain and number."""

    gain: float
    rows: int


@dataclass
class _Chain:
    """Rows that must be served in turn, grouped into steps of falling mean gain.

    Attributes:
        layer: index of the layer.
        cost: bytes of serving one row.
        gains, rows: gain of each row, and the row, which goes one point up.
        steps: concave envelope of what is still to be served.
        served: rows served so far.
    """

    layer: int
    cost: float
    gains: list[float]
    rows: list[int]
    steps: deque[_Step] = field(init=False)
    served: int = 0

    def __post_init__(self) -> None:
        self.steps = _envelope(self.gains)

    @property
    def slope(self) -> float:
        """Gain per byte of the next step."""
        return self.steps[0].gain / (self.steps[0].rows * self.cost)

    def serve(self) -> list[int]:
        """Takes the next step; returns its rows."""
        start = self.served
        self.served += self.steps.popleft().rows
        return self.rows[start : self.served]

    def cut(self, rows: int) -> None:
        """Leaves only the next ``rows`` rows to be served."""
        self.steps = _envelope(self.gains[self.served : self.served + rows])


def _envelope(gains: Sequence[float]) -> deque[_Step]:
    """Concave envelope of a chain: rows that gain more than those before them form one step with them."""
    steps: deque[_Step] = deque()
    for gain in gains:
        step = _Step(gain, 1)
        while steps and step.gain * steps[-1].rows > steps[-1].gain * step.rows:
            before = steps.pop()
            step = _Step(before.gain + step.gain, before.rows + step.rows)
        steps.append(step)
    return steps


def _chains(index: int, options: LayerOptions) -> list[_Chain]:
    channels, levels = options.gains.shape
    if not levels:
        return []
    gains, cost = options.gains, options.cost
    if options.order is None:
        return [_Chain(index, cost, gains[row].tolist(), [row] * levels) for row in range(channels)]
    # A prefix grows row by row; a level starts only when the level below covers every row, which keeps prefixes
    # nested.
    return [_Chain(index, cost, gains[options.order].T.ravel().tolist(), options.order.tolist() * levels)]


def allocate(options: Sequence[LayerOptions], budget: float) -> dict[str, np.ndarray]:
    """Points per row that lower the predicted loss most within ``budget`` bytes of further points.

    Greedy on gain per byte over the concave envelopes, which is optimal up to one step. A step that does not fit is
    cut to the rows that do. Steps without gain are never taken; ties are broken by layer and row, so the result is
    deterministic.

    Returns:
        layer name -> int (C,), at least 1.
    """
    counts = [np.ones(len(o.gains), np.int64) for o in options]
    chains = [chain for i, o in enumerate(options) for chain in _chains(i, o)]
    heap = [(-chain.slope, i) for i, chain in enumerate(chains)]
    heapq.heapify(heap)
    left = float(budget)
    while heap and heap[0][0] < 0:
        _, i = heapq.heappop(heap)
        chain = chains[i]
        length = chain.steps[0].rows
        if length * chain.cost > left:
            chain.cut(min(int(left // chain.cost), length - 1))
        else:
            left -= length * chain.cost
            for row in chain.serve():
                counts[chain.layer][row] += 1
        if chain.steps:
            heapq.heappush(heap, (-chain.slope, i))
    return {o.name: c for o, c in zip(options, counts, strict=True)}


def joint_order(gains: Sequence[np.ndarray]) -> np.ndarray:
    """One ranking of channels for layers that must share it: by the sum of their normalized gains.

    Args:
        gains: for every member, (channels,) gain of a second point.

    Returns:
        Channel indices, best first.
    """
    # Gains may be slightly negative, so that their plain sum could vanish.
    total = sum(g / max(float(np.abs(g).sum()), np.finfo(float).tiny) for g in gains)
    return np.argsort(-np.asarray(total), kind="stable")
