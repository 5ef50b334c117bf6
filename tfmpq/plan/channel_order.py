"""Which layers may have their rows reordered, and the orders that several must share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from converters.layers.channel_groups import ChannelGroup, Segments
from converters.layers.layer import Layer
from converters.tflite.graph import Tensor
from tfmpq.plan.allocation import joint_order


def row_groups(layer: Layer, groups: Mapping[Tensor, Segments]) -> tuple[tuple[ChannelGroup, ...], str | None]:
    """The channel groups of a layer's outputs (one a use, usually all the same), and why its rows must stay, or None.

    Args:
        layer: with its ops in an int8 graph.
        groups: channel groups of that graph's activations.
    """
    if layer.kind.table:  # rows are found by their ids
        return (), None
    found = [groups[use.int8_op.outputs[0]] for use in layer.uses]
    own = tuple(dict.fromkeys(group for item in found for group in item))
    reason = layer.full_width or next((g.frozen for g in own if g.frozen), None)
    if reason is None and len(own) != 1:
        reason = "its channels belong to several groups"
    return own, reason


def shared_orders(members: Sequence[tuple[str, ChannelGroup, np.ndarray]]) -> dict[str, np.ndarray]:
    """Joint channel ranking for layers that share their channel order with another multi-point layer.

    Args:
        members: (layer name, channel group, (C,) gain of a second point) of the layers that may have several points
            and whose rows may be reordered.

    Returns:
        layer name -> ranking, only for layers that are not alone in their group.
    """
    by_group: dict[ChannelGroup, list[tuple[str, np.ndarray]]] = {}
    for name, group, gains in members:
        by_group.setdefault(group, []).append((name, gains))
    result = {}
    for found in by_group.values():
        if len(found) > 1:
            order = joint_order([gains for _, gains in found])
            result.update(dict.fromkeys([name for name, _ in found], order))
    return result


def up_to_last(counts: np.ndarray, order: np.ndarray | None) -> np.ndarray:
    """Counts of points raised until no row has more than one before it in a shared order."""
    if order is None:
        return counts
    result = counts.copy()
    result[order] = np.maximum.accumulate(counts[order][::-1])[::-1]
    return result
