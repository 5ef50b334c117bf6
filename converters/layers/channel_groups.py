"""Channel order: which activations share one, told from the graph.

An operator that keeps channels apart (pooling, ADD, a depthwise convolution, a table's rows) ties the order of its
input to that of its output; a convolution or dense layer reads its input in any order, if its columns follow, and
starts a new order with its rows. Tied channels form a group. A group is frozen where something depends on its order
that no constant of the graph can make up for.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from converters.layers.channel_rules import ignores_order, joined_inputs, joins_channels, unreadable, width
from converters.layers.kinds import WeightKind, kind_of
from converters.tflite.graph import Graph, Op, Tensor


@dataclass(eq=False)
class ChannelGroup:
    """Channels that can only be reordered together.

    Attributes:
        size: number of channels.
        frozen: why their order must stay, in words; None if it may change.
        restored_at: activations at which the order must be put back if it changes.
    """

    size: int
    frozen: str | None = None
    restored_at: tuple[Tensor, ...] = ()


Segments = tuple[ChannelGroup, ...]  # of one activation, in channel order: several after a channel CONCATENATION


def channel_groups(graph: Graph, *, cuts: Collection[Tensor] = ()) -> dict[Tensor, Segments]:
    """Groups of the channels (last axis) of every activation of ``graph``.

    Most activations are one group. What a CONCATENATION joined along the channels stays apart, so its result and what
    is tied to it have the groups of all its inputs, one after the other. Behind activations in ``cuts`` the model's own
    order holds, as it is put back there.
    """
    return _Analysis(graph, cuts).result()


class _Analysis:
    """Union-find over channel groups, in one pass over the ops in execution order."""

    def __init__(self, graph: Graph, cuts: Collection[Tensor]) -> None:
        self.graph = graph
        self.cuts = {tensor: self.new(tensor, "its order is put back") for tensor in cuts}
        self.found: dict[Tensor, Segments] = {}
        self.parent: dict[ChannelGroup, ChannelGroup] = {}
        self.weights: dict[Tensor, tuple[WeightKind, Segments, Segments]] = {}  # first use: kind, columns, rows
        self.other_uses = {  # what reads a tensor otherwise than as weights
            tensor: op
            for op in graph.ops
            for i, tensor in enumerate(op.inputs)
            if tensor is not None and not ((kind := kind_of(op)) and i in [site.weight for site in kind.sites])
        }

    def result(self) -> dict[Tensor, Segments]:
        for tensor in self.graph.inputs:
            self.found[tensor] = self.new(tensor, f"comes from graph input '{tensor.name}'")
        for op in self.graph.ops:
            self.visit(op)
        for tensor in self.graph.outputs:
            if tensor.data is None:
                self.freeze(self.segments(tensor), f"reaches graph output '{tensor.name}'")
        result = {tensor: tuple(self.root(g) for g in segments) for tensor, segments in self.found.items()}
        for tensor in self.cuts:
            for group in result[tensor]:
                group.restored_at += (tensor,)
        return result

    # Union-find. Segments are tuples of groups that may have been merged into others since.

    def new(self, tensor: Tensor, frozen: str | None = None) -> Segments:
        return (ChannelGroup(width(tensor), frozen),)

    def root(self, group: ChannelGroup) -> ChannelGroup:
        while group in self.parent:
            group = self.parent[group]
        return group

    def freeze(self, segments: Segments, reason: str) -> None:
        for group in segments:
            root = self.root(group)
            root.frozen = root.frozen or reason

    def tie(self, first: Segments, second: Segments, reason: str) -> None:
        """Gives both one order; where they are made of different pieces, both are frozen for ``reason``."""
        if [g.size for g in first] != [g.size for g in second]:
            self.freeze(first + second, f"{reason} whose channels are concatenated from other pieces")
            return
        for a, b in zip(first, second, strict=True):
            keep, drop = self.root(a), self.root(b)
            if keep is not drop:
                self.parent[drop] = keep
                keep.frozen = keep.frozen or drop.frozen

    def segments(self, tensor: Tensor) -> Segments:
        """Channels of an op's input."""
        if tensor.data is not None:
            return self.new(tensor, f"joins constant '{tensor.name}'")
        if tensor in self.cuts:
            return self.cuts[tensor]
        if tensor not in self.found:  # no op writes it
            self.found[tensor] = self.new(tensor, f"comes from variable '{tensor.name}'")
        return self.found[tensor]

    # Operators.

    def visit(self, op: Op) -> None:
        out = op.outputs[0] if op.outputs else None
        if any(t.shape_signature and t.shape_signature[-1] < 0 for t in [*op.inputs, *op.outputs] if t is not None):
            self.freeze_all(op, f"{op.name} works on a number of channels known only at run time")
        elif (kind := kind_of(op)) is not None:
            self.visit_weights(op, kind)
        elif out is not None and ignores_order(op):
            # A single channel, or numbers whose order nothing can change.
            self.found[out] = self.new(out, None if width(out) == 1 else f"{op.name} gives no channels")
        elif out is not None and joins_channels(op):
            self.found[out] = tuple(group for t in op.inputs if t is not None for group in self.segments(t))
        else:
            joined = joined_inputs(op)
            if isinstance(joined, str):
                self.freeze_all(op, joined)
            else:
                self.join(op, joined)

    def freeze_all(self, op: Op, reason: str) -> None:
        self.freeze_inputs(op, (), reason)
        for tensor in op.outputs:
            self.found[tensor] = self.new(tensor, reason)
        if (kind := kind_of(op)) is None or (weight := op.input(kind.site.weight)).data is None:
            return
        # Other uses have the same matrix, whose order stays with that of this one.
        written = self.found[op.outputs[0]]
        if kind.table:
            self.tie_uses(weight, kind, written, self.new(weight, reason))
        else:
            self.tie_uses(weight, kind, self.segments(op.input(kind.site.activation)), written)

    def freeze_inputs(self, op: Op, but: tuple[int, ...], reason: str) -> None:
        for i, tensor in enumerate(op.inputs):
            if i not in but and tensor is not None and tensor.data is None:
                self.freeze(self.segments(tensor), reason)

    def join(self, op: Op, joined: tuple[int, ...]) -> None:
        """Ties inputs of an op that keeps channels apart to its output."""
        out = op.outputs[0]
        tensors = [t for t in (op.inputs[i] for i in joined) if t is not None]
        tied = [t for t in tensors if width(t) == width(out)]
        if not tied or any(width(t) not in (1, width(out)) for t in tensors):
            self.freeze_all(op, f"{op.name} works on shapes known only at run time")
            return
        self.freeze_inputs(op, joined, f"is an argument of {op.name}")
        operands = [self.segments(t) for t in tied if t.data is None]
        self.found[out] = segments = operands[0] if operands else self.new(out)
        for other in operands[1:]:
            self.tie(segments, other, f"{op.name} combines activations")
        for reason in [unreadable(t) for t in tied if t.data is not None]:
            if reason is not None:
                self.freeze(segments, reason)

    def visit_weights(self, op: Op, kind: WeightKind) -> None:
        activation, weight_slot, bias_slot = kind.site
        x, weight, out = op.input(activation), op.input(weight_slot), op.outputs[0]
        if kind.table:
            self.visit_table(op, weight, kind)
            return
        columns = self.segments(x)
        one_to_one = kind.per_channel and width(x) == width(out)
        self.found[out] = rows = columns if one_to_one else self.new(out)
        if weight.data is None:
            self.freeze_all(op, f"the graph computes the weights of {op.name}")
            return
        self.tie_uses(weight, kind, columns, rows)
        bias = op.optional_input(bias_slot)
        if bias is not None and bias.data is None:
            self.freeze(rows, f"the graph computes the bias of {op.name}")
        self.freeze_inputs(op, (activation,), f"is an argument of {op.name}")
        for reason in (unreadable(weight), kind.mixed_order(op, x, weight.shape)):
            if reason is not None:
                self.freeze(columns + rows, reason)
        fixed = kind.fixed_columns(op, x, weight.shape)
        if fixed is not None:
            self.freeze(columns, fixed)

    def visit_table(self, op: Op, weight: Tensor, kind: WeightKind) -> None:
        """Rows of a table are those of the ids; all its uses have one order of its columns, which are channels."""
        out = op.outputs[0]
        self.freeze_inputs(op, (), f"is an argument of {op.name}")
        self.found[out] = channels = self.new(out, unreadable(weight))
        self.tie_uses(weight, kind, channels, self.new(weight, "rows are found by their ids"))

    def tie_uses(self, weight: Tensor, kind: WeightKind, columns: Segments, rows: Segments) -> None:
        """All uses of one weight have one matrix: their inputs share an order, and so do their outputs."""
        if weight in self.other_uses:
            reason = f"weight '{weight.name}' is also an argument of {self.other_uses[weight].name}"
            self.freeze(columns + rows, reason)
        first_kind, first_columns, first_rows = self.weights.setdefault(weight, (kind, columns, rows))
        if first_kind.table != kind.table:  # its columns are the ones' channels and the others' inputs
            self.freeze(rows + first_rows, f"rows of '{weight.name}' are found by their ids")
            self.tie(first_columns, columns, f"weight '{weight.name}' reads and writes activations")
            return
        if first_kind is not kind:
            reason = f"weight '{weight.name}' is shared by layers of different kinds"
            self.freeze(columns + rows + first_columns + first_rows, reason)
            return
        self.tie(first_columns, columns, f"weight '{weight.name}' reads activations")
        self.tie(first_rows, rows, f"weight '{weight.name}' writes activations")
