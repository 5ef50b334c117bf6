"""Which tensors TensorFlow gives one scale: where the range of a value that is read has to be set, if it can be."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from converters.tflite.graph import Graph, Op, Tensor, TensorType

# What these write has the scale of input 0, whose values it holds.
MOVES = frozenset(
    {"RESHAPE", "SQUEEZE", "EXPAND_DIMS", "TRANSPOSE", "SLICE", "STRIDED_SLICE", "GATHER", "BROADCAST_TO", "TILE"}
)
# These write other values at the scale of what they read.
_KEEP = {
    "AVERAGE_POOL_2D", "MAX_POOL_2D", "RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR", "SPLIT", "SPLIT_V", "UNPACK", "PAD",
    "MIRROR_PAD", "DEPTH_TO_SPACE", "SPACE_TO_DEPTH", "BATCH_TO_SPACE_ND", "SPACE_TO_BATCH_ND", "GATHER_ND",
    "REDUCE_MAX", "REDUCE_MIN", "DYNAMIC_UPDATE_SLICE", "REVERSE_V2", "TOPK_V2", "SCATTER_ND",
}  # fmt: skip
# What these read gets the scale of what they write.
_JOIN = {"CONCATENATION", "PACK", "PADV2", "MAXIMUM", "MINIMUM", "SELECT", "SELECT_V2"}
# What these write has a scale that nothing changes.
FIXED = frozenset({"SOFTMAX", "LOGISTIC", "TANH", "LOG_SOFTMAX", "L2_NORMALIZATION"})


@dataclass(frozen=True, eq=False)
class Ties:
    """A float graph, as far as scales go."""

    graph: Graph
    producers: Mapping[Tensor, Op]
    readers: Mapping[Tensor, Sequence[Op]]

    @classmethod
    def of(cls, graph: Graph) -> Ties:
        """Of a float graph."""
        return cls(graph, graph.producers(), graph.consumers())

    def owner(self, tensor: Tensor) -> Tensor | None:
        """The tensor whose range the scale of ``tensor`` is made from; None: a scale that no range sets.

        Of a join it is the join's result, of a reshaped tensor the one that is reshaped.
        """
        seen: set[Tensor] = set()
        while tensor not in seen:
            seen.add(tensor)
            op = self.producers.get(tensor)
            if op is not None and op.name in MOVES:
                tensor = op.input(0)
            elif op is not None and (op.name in FIXED or op.name in _KEEP):
                return None
            elif (join := self._join(tensor)) is not None:
                tensor = join.outputs[0]
            else:
                return tensor
        return None  # a join of what is made of its own result: no graph has that

    def _join(self, tensor: Tensor) -> Op | None:
        """The join that a tensor goes into, moved or not."""
        return next((op for op in self.readers.get(tensor, ()) if op.name in _JOIN), None)

    def only_for(self, owner: Tensor, ends: Collection[Op]) -> bool:
        """Whether all tensors of the owner's scale are read by nothing but ``ends``, and are no outputs."""
        todo, seen = [owner], {owner}
        while todo:
            tensor = todo.pop()
            if tensor in self.graph.outputs:
                return False
            for op in self.readers.get(tensor, ()):
                if op in ends:
                    continue
                if op.name not in MOVES and (op.name not in _JOIN or op.outputs[0] not in seen):
                    return False
                todo += [t for t in op.outputs if t not in seen]
                seen.update(op.outputs)
            made = self.producers.get(tensor)
            if made is not None and (made.name in _JOIN or (made.name in MOVES and tensor is not owner)):
                before = [t for t in made.inputs if t is not None and t.data is None and t.type == TensorType.FLOAT32]
                todo += [t for t in before if t not in seen]
                seen.update(before)
        return True
