"""The GATHER that puts channels back in order at a tensor behind the layer whose rows were reordered."""

from __future__ import annotations

import numpy as np

from converters.lowering.ops import gather, with_channels
from converters.tflite.graph import BuiltinOperator, Graph, Op, Tensor

_SUFFIX = "/order"


def restoring_ops(graph: Graph) -> list[Op]:
    """The operators that :func:`restore_order` has put into a graph."""
    return [op for op in graph.ops if op.code == BuiltinOperator.GATHER and op.input(1).name.endswith(_SUFFIX)]


def restore_order(graph: Graph, tensor: Tensor, order: np.ndarray) -> None:
    """Makes ``tensor`` hold its channels in the model's own order again.

    Args:
        graph: whose ops up to ``tensor`` were reordered; changed in place.
        tensor: an activation that an op writes.
        order: (channels,), what its channel i holds now.
    """
    if np.array_equal(order, np.arange(len(order))):
        return
    maker = graph.producers()[tensor]
    mixed = with_channels(f"{tensor.name}/mixed", tensor, len(order))
    maker.outputs[maker.outputs.index(tensor)] = mixed
    place = graph.ops.index(maker) + 1
    graph.ops.insert(place, gather(f"{tensor.name}{_SUFFIX}", mixed, np.argsort(order), tensor))
