"""Changing the order of channels offline, by the constants that depend on it, so that it costs nothing at run time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from converters.layers.channel_groups import ChannelGroup, Segments
from converters.layers.channel_rules import ignores_order, joined_inputs, joins_channels, width
from converters.layers.kinds import kind_of
from converters.tflite.graph import Graph, Op, Tensor, TensorType
from converters.tflite.packing import pack_int4


def weight_orders(
    op: Op, groups: Mapping[Tensor, Segments], orders: Mapping[ChannelGroup, np.ndarray]
) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Row and column order of a layer's weight matrix (C, d), as :meth:`WeightKind.rows` gives it.

    Args:
        op: a convolution (plain, depthwise, transposed) or dense op.
        groups: from :func:`channel_groups`.
        orders: new channel i of the group is its old channel ``order[i]``; groups that are not listed keep theirs.

    Returns:
        (C,) and (d,) index arrays for ``matrix[rows][:, columns]``; None for an order that does not change.
    """
    kind = kind_of(op)
    assert kind is not None, op.name
    activation, weight_slot, _ = kind.site
    rows = _order(op.outputs[0], groups, orders)
    if kind.table:
        return None, rows
    inner = _order(op.input(activation), groups, orders)
    if inner is None or kind.per_channel:
        return rows, None
    positions = int(np.prod(op.input(weight_slot).shape[1:-1]))  # of the kernel; channels are the fastest axis
    return rows, (np.arange(positions)[:, None] * len(inner) + inner).reshape(-1)


def permute_graph(graph: Graph, groups: Mapping[Tensor, Segments], orders: Mapping[ChannelGroup, np.ndarray]) -> None:
    """Reorders channels in place by reordering the constants that depend on them.

    Integer results stay the same bit by bit, up to the order of the channels; float ops add up in another order.
    Constants are not changed themselves: an op that needs another order of one gets a copy.

    Args:
        graph: the graph that ``groups`` was made from.
        groups: from :func:`channel_groups`.
        orders: new channel i of the group is its old channel ``order[i]``; groups that are not listed keep theirs.

    Raises:
        ValueError: An order is no permutation of its group, or the group is frozen.
    """
    for group, order in orders.items():
        if not np.array_equal(np.sort(order), np.arange(group.size)):
            raise ValueError(f"an order of a group of {group.size} channels must hold 0..{group.size - 1} once each")
        if group.frozen is not None and not np.array_equal(order, np.arange(group.size)):
            raise ValueError(f"the order of a group of {group.size} channels must stay: {group.frozen}")
    made: dict[tuple[Tensor, tuple[tuple[int, bytes], ...]], Tensor] = {}
    for op in graph.ops:
        for slot, axes in _constant_orders(op, groups, orders).items():
            key = op.input(slot), tuple((axis, order.tobytes()) for axis, order in axes.items())
            if key not in made:
                made[key] = _reordered(op.input(slot), axes)
            op.inputs[slot] = made[key]


def _order(
    tensor: Tensor, groups: Mapping[Tensor, Segments], orders: Mapping[ChannelGroup, np.ndarray]
) -> np.ndarray | None:
    """New order of a tensor's channels; None if it stays."""
    pieces, start = [np.zeros(0, np.int64)], 0
    for group in groups.get(tensor, ()):  # constants have none
        pieces.append(start + np.asarray(orders.get(group, np.arange(group.size)), np.int64))
        start += group.size
    whole = np.concatenate(pieces)
    return None if np.array_equal(whole, np.arange(start)) else whole


def _constant_orders(
    op: Op, groups: Mapping[Tensor, Segments], orders: Mapping[ChannelGroup, np.ndarray]
) -> dict[int, dict[int, np.ndarray]]:
    """Input position -> axis -> order, for the constants of an op that change."""
    found: list[tuple[int, int, np.ndarray | None]] = []
    if (kind := kind_of(op)) is not None:
        activation, weight_slot, bias_slot = kind.site
        outer = _order(op.outputs[0], groups, orders)
        last = len(op.input(weight_slot).shape) - 1
        found.append((weight_slot, last if kind.table else kind.row_axis, outer))
        if not kind.per_channel and not kind.table:
            found.append((weight_slot, last, _order(op.input(activation), groups, orders)))
        if bias_slot is not None and (bias := op.optional_input(bias_slot)) is not None:
            found.append((bias_slot, len(bias.shape) - 1, outer))
    elif op.outputs and not ignores_order(op) and not joins_channels(op):
        joined = joined_inputs(op)
        for slot in joined if isinstance(joined, tuple) else ():
            tensor, out = op.inputs[slot], op.outputs[0]
            if tensor is not None and tensor.data is not None and width(tensor) == width(out):
                found.append((slot, len(tensor.shape) - 1, _order(out, groups, orders)))
    result: dict[int, dict[int, np.ndarray]] = {}
    for slot, axis, order in found:
        if order is not None:
            result.setdefault(slot, {})[axis] = order
    return result


def _reordered(tensor: Tensor, axes: Mapping[int, np.ndarray]) -> Tensor:
    array, quantization = tensor.array(), tensor.quantization
    for axis, order in axes.items():
        array = np.take(array, order, axis)
        if quantization is not None and quantization.axis == axis and len(quantization.scale) > 1:
            quantization = replace(
                quantization, scale=quantization.scale[order], zero_point=quantization.zero_point[order]
            )
    data = pack_int4(array) if tensor.type == TensorType.INT4 else array.tobytes()
    return replace(tensor, data=data, quantization=quantization)
