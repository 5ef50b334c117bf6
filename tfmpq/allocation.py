"""Which rows get further points: a knapsack on predicted loss per byte, or the multipoint paper's epsilon rule."""

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
            None where every row may be chosen. With blocks it ranks blocks.
        block: rows that can only be served together (channels tied to one input channel); rows come in runs of it.
    """

    name: str
    gains: np.ndarray
    cost: float
    order: np.ndarray | None = None
    block: int = 1


class _Step(NamedTuple):
    """Units that are served together: their gain and number."""

    gain: float
    units: int


@dataclass
class _Chain:
    """Units that must be served in turn, grouped into steps of falling mean gain.

    Attributes:
        layer: index of the layer.
        cost: bytes of serving one unit.
        gains, units: gain of each unit, and its rows, which go one point up.
        steps: concave envelope of what is still to be served.
        served: units served so far.
    """

    layer: int
    cost: float
    gains: list[float]
    units: list[np.ndarray]
    steps: deque[_Step] = field(init=False)
    served: int = 0

    def __post_init__(self) -> None:
        self.steps = _envelope(self.gains)

    @property
    def slope(self) -> float:
        """Gain per byte of the next step."""
        return self.steps[0].gain / (self.steps[0].units * self.cost)

    def serve(self) -> list[np.ndarray]:
        """Takes the next step; returns its units."""
        start = self.served
        self.served += self.steps.popleft().units
        return self.units[start : self.served]

    def cut(self, units: int) -> None:
        """Leaves only the next ``units`` units to be served."""
        self.steps = _envelope(self.gains[self.served : self.served + units])


def _envelope(gains: Sequence[float]) -> deque[_Step]:
    """Concave envelope of a chain: units that gain more than those before them form one step with them."""
    steps: deque[_Step] = deque()
    for gain in gains:
        step = _Step(gain, 1)
        while steps and step.gain * steps[-1].units > steps[-1].gain * step.units:
            before = steps.pop()
            step = _Step(before.gain + step.gain, before.units + step.units)
        steps.append(step)
    return steps


def _chains(index: int, options: LayerOptions) -> list[_Chain]:
    channels, levels = options.gains.shape
    if not levels:
        return []
    units = list(np.arange(channels).reshape(-1, options.block))
    gains = options.gains.reshape(len(units), options.block, levels).sum(axis=1)
    cost = options.cost * options.block
    if options.order is None:
        return [_Chain(index, cost, gains[u].tolist(), [rows] * levels) for u, rows in enumerate(units)]
    # A prefix grows unit by unit; a level starts only when the level below covers every row, which keeps prefixes
    # nested.
    ranked = [units[u] for u in options.order]
    return [_Chain(index, cost, gains[options.order].T.ravel().tolist(), ranked * levels)]


def allocate(options: Sequence[LayerOptions], budget: float) -> dict[str, np.ndarray]:
    """Points per row that lower the predicted loss most within ``budget`` bytes of further points.

    Greedy on gain per byte over the concave envelopes, which is optimal up to one step. A step that does not fit is
    cut to the units that do. Steps without gain are never taken; ties are broken by layer and row, so the result is
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
        length = chain.steps[0].units
        if length * chain.cost > left:
            chain.cut(min(int(left // chain.cost), length - 1))
        else:
            left -= length * chain.cost
            for rows in chain.serve():
                counts[chain.layer][rows] += 1
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


def epsilon_counts(errors: np.ndarray, energy: np.ndarray, epsilon: float) -> np.ndarray:
    """The paper's rule: a row takes points until its output error is at most ``epsilon`` of its output energy.

    Source: Liu et al., AAAI 2021, section 3.3 (there with an absolute threshold).

    Args:
        errors: (points, C) output error with 1, 2, ... points.
        energy: (C,) mean squared output.
        epsilon: relative error allowed.

    Returns:
        int (C,): the fewest points that are enough, the most there are where none is.
    """
    enough = errors <= epsilon * energy
    enough[-1] = True
    return enough.argmax(axis=0).astype(np.int64) + 1
