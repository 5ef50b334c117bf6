"""Which rows get further points: a knapsack on predicted loss per byte, or the multipoint paper's epsilon rule."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass

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
        block: rows that can only be served together (channels tied to one input channel); rows come in runs of it.
    """

    name: str
    gains: np.ndarray
    cost: float
    order: np.ndarray | None = None
    block: int = 1


@dataclass
class _Chain:
    """Increments that must be taken in turn, pooled so that gain per byte never rises along the chain."""

    layer: int
    steps: list[tuple[float, float, list[np.ndarray]]]  # gain, bytes, rows that go one point up in each increment
    taken: int = 0


def _pooled(
    gains: np.ndarray, costs: np.ndarray, rows: list[np.ndarray]
) -> list[tuple[float, float, list[np.ndarray]]]:
    """Concave envelope of a chain: an increment that is better than the one before it is joined to it."""
    result: list[tuple[float, float, list[np.ndarray]]] = []
    for gain, cost, row in zip(gains, costs, rows, strict=True):
        step = (float(gain), float(cost), [row])
        while result and step[0] * result[-1][1] > result[-1][0] * step[1]:
            last = result.pop()
            step = (last[0] + step[0], last[1] + step[1], last[2] + step[2])
        result.append(step)
    return result


def _chains(index: int, options: LayerOptions) -> list[_Chain]:
    channels, levels = options.gains.shape
    units = np.arange(channels).reshape(-1, options.block)
    gains = options.gains.reshape(len(units), options.block, levels).sum(axis=1)
    cost = options.cost * options.block
    if options.order is None:
        costs = np.full(levels, cost)
        return [_Chain(index, _pooled(gains[u], costs, [rows] * levels)) for u, rows in enumerate(units)]
    # A prefix grows row by row; a level starts only when the level below covers every row, which keeps prefixes nested.
    order = options.order
    sequence = [(gains[u, level], units[u]) for level in range(levels) for u in order]
    return [
        _Chain(
            index, _pooled(np.array([g for g, _ in sequence]), np.full(len(sequence), cost), [r for _, r in sequence])
        )
    ]


def allocate(options: Sequence[LayerOptions], budget: float) -> dict[str, np.ndarray]:
    """Points per row that lower the predicted loss most within ``budget`` bytes of further points.

    Greedy on gain per byte over the concave envelopes, which is optimal up to the last step taken. Steps without
    gain are never taken; ties are broken by layer and row, so the result is deterministic.

    Returns:
        layer name -> int (C,), at least 1.
    """
    counts = [np.ones(len(o.gains), np.int64) for o in options]
    chains = [chain for i, o in enumerate(options) for chain in _chains(i, o)]
    heap = [(-c.steps[0][0] / c.steps[0][1], i) for i, c in enumerate(chains) if c.steps]
    heapq.heapify(heap)
    left = float(budget)
    while heap:
        slope, i = heapq.heappop(heap)
        if slope >= 0:
            break
        chain = chains[i]
        _, cost, rows = chain.steps[chain.taken]
        if cost > left:  # what fits of a pooled step is still worth having
            rows = rows[: int(left // (cost / len(rows)))]
            cost *= len(rows) / len(chain.steps[chain.taken][2])
            for unit in rows:
                counts[chain.layer][unit] += 1
            left -= cost
            continue
        for unit in rows:
            counts[chain.layer][unit] += 1
        left -= cost
        chain.taken += 1
        if chain.taken < len(chain.steps):
            gain, cost, _ = chain.steps[chain.taken]
            heapq.heappush(heap, (-gain / cost, i))
    return {o.name: c for o, c in zip(options, counts, strict=True)}


def joint_order(gains: Sequence[np.ndarray]) -> np.ndarray:
    """One ranking of channels for layers that must share it: by the sum of their normalized gains.

    Args:
        gains: for every member, (channels,) gain of a second point.

    Returns:
        Channel indices, best first.
    """
    total = sum(g / max(float(g.sum()), np.finfo(float).tiny) for g in gains)
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
