"""Where a channel order that must not be seen can be put back: at the smallest later tensor.

Logits that a convolution makes and that are pooled afterwards have a frozen order, as a softmax or the caller reads
them. Pooling keeps channels apart, so the rows may be in any order up to the pooled vector, where a GATHER is cheap.
So is one at an output that is the end of a residual stream, which many layers write.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import prod

from converters.layers.channel_groups import ChannelGroup, Segments, channel_groups
from converters.layers.channel_rules import joined_inputs, width
from converters.layers.kinds import kind_of
from converters.tflite.graph import Graph, Op, Tensor, TensorType

_ACTIVATIONS = (TensorType.INT8, TensorType.FLOAT32)
_WORTH = 4  # times as much as an output must be written by layers whose order it would freeze


def restorable_groups(graph: Graph) -> dict[Tensor, Segments]:
    """Channel groups of every activation, those that a GATHER at a later, smaller tensor frees among the free ones.

    Their :attr:`~converters.layers.channel_groups.ChannelGroup.restored_at` says where it has to be put if they are
    reordered. Layers whose own output is the smallest tensor stay frozen: what is put back right behind a layer is the
    matter of its form.
    """
    groups = channel_groups(graph)
    cuts = frozenset((*_cuts(graph, groups), *_outputs(graph, groups)))
    if not cuts:
        return groups
    freed = channel_groups(graph, cuts=cuts)
    # A group that is frozen for other reasons as well gains nothing.
    useful = frozenset(t for t in cuts if len(freed[t]) == 1 and freed[t][0].frozen is None)
    return freed if useful == cuts else channel_groups(graph, cuts=useful)


def _cuts(graph: Graph, groups: Mapping[Tensor, Segments]) -> Iterator[Tensor]:
    consumers = graph.consumers()
    for op in graph.ops:
        kind = kind_of(op)
        if kind is None or kind.per_channel or not any(group.frozen for group in groups[op.outputs[0]]):
            continue
        own = op.outputs[0]
        smallest = min(_chain(own, consumers, set(graph.outputs)), key=_size)  # the first of those
        if _size(smallest) < _size(own) and smallest.type in _ACTIVATIONS:
            yield smallest


def _outputs(graph: Graph, groups: Mapping[Tensor, Segments]) -> Iterator[Tensor]:
    """Outputs that many layers write together: what they write in all is large beside a GATHER."""
    written: dict[ChannelGroup, int] = {}
    for op in graph.ops:
        kind = kind_of(op)
        if kind is not None and not kind.per_channel:
            for group in groups[op.outputs[0]]:
                written[group] = written.get(group, 0) + _size(op.outputs[0])
    makers = graph.producers()
    for tensor in graph.outputs:
        found = groups.get(tensor, ()) if tensor in makers and tensor.type in _ACTIVATIONS else ()
        if len(found) == 1 and found[0].frozen and written.get(found[0], 0) >= _WORTH * _size(tensor):
            yield tensor


def _chain(tensor: Tensor, consumers: Mapping[Tensor, list[Op]], ends: set[Tensor]) -> Iterator[Tensor]:
    """The tensor and those that one op after the other makes of it alone, channel by channel."""
    yield tensor
    while tensor not in ends and len(consumers.get(tensor, ())) == 1:
        (op,) = consumers[tensor]
        others = [t for t in op.inputs if t is not None and t is not tensor and t.data is None]
        if kind_of(op) is not None or joined_inputs(op) != (0,) or others or len(op.outputs) != 1:
            return
        if width(op.outputs[0]) != width(tensor):
            return
        tensor = op.outputs[0]
        yield tensor


def _size(tensor: Tensor) -> int:
    return prod(max(n, 1) for n in tensor.shape)
