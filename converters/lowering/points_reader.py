"""The points of a layer, read back from the operators that a lowering wrote for it.

Layers are told from the user's own branches by the names that :mod:`converters.lowering.parallel` and
:mod:`converters.lowering.split` give to their tensors. The file may be anyone's: nothing here takes longer, or more
memory, than its size says.
"""

from __future__ import annotations

import collections
import math
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from converters.errors import FileFormatError
from converters.layers.kinds import DENSE, kind_of, weights_of
from converters.points import MultipointWeight, Point, merge
from converters.tflite.graph import BuiltinOperator, Graph, Op, Tensor, TensorType

_WEIGHT = re.compile(r"(.+)/(?:points\d+/weight\d+|int[48]/weight)", re.DOTALL)
_PART = re.compile(r"(.+?)(?:#\d+)?/(?:points\d+/(?:point\d+|sum\d+|out|in)|int[48]/out|ordered)", re.DOTALL)
_DEEPEST = 64  # ops of one layer after each other; a layer has at most four points


@dataclass(frozen=True)
class Rows:
    """Rows of one layer, computed by one of its ops or by several together.

    Attributes:
        codes: int8 (n, d).
        scale: float32 (n,).
        bias: (n,), int64 in units of the input's scale times ``scale``, or float32 beside float activations.
        activation: fused activation of their results.
        op: an op that computes some of them.
        source: activation they read, the layer's input.
        start: where a depthwise layer's rows start among the input's channels.
    """

    codes: np.ndarray
    scale: np.ndarray
    bias: np.ndarray
    activation: int
    op: Op
    source: Tensor
    start: int


class NotMergeableError(Exception):
    """Points of a layer add up to no int8 row."""


class PointsReader:
    """Reads the layers of one graph.

    A part is read once, so that the ops of a layer are a tree, and the work no more than its size. Layers that share a
    weight each read it: that is what ``budget`` bounds.

    Args:
        graph: the graph.
        budget: how many codes may be read.

    Attributes:
        producers: tensor -> the op that writes it.
        parts: what an op of a layer writes for another op of the same layer.
    """

    def __init__(self, graph: Graph, budget: int) -> None:
        self._budget = budget
        self._reads = collections.Counter(t for op in graph.ops for t in op.inputs if t is not None)
        self._outputs = set(graph.outputs)
        self._walked: list[Op] = []  # ops of the layer at hand
        self.producers = graph.producers()
        layers = {layer_name(op) for op in graph.ops} - {""}
        self.parts = {t for t in (*self.producers, *self._reads) if _is_part(t.name, layers)}

    def read(self, op: Op) -> tuple[Rows, list[Op]]:
        """The rows of the layer that ends with ``op``, and all its ops.

        Raises:
            FileFormatError: The file was changed after it was written.
            NotMergeableError: The layer has to stay as it is.
        """
        self._walked = []
        return self._layer(op), self._walked

    def _layer(self, op: Op, depth: int = 0) -> Rows:
        """The rows that ``op`` and those before it in its layer compute."""
        _check_depth(op, depth)
        if kind_of(op) is not None:
            result = self._point(op)
        elif op.code == BuiltinOperator.ADD:
            result = self._sum(op, depth)
        elif op.code == BuiltinOperator.CONCATENATION:
            result = self._joined([self._layer(self._part(t), depth + 1) for t in op.inputs])
        elif op.code == BuiltinOperator.GATHER:
            whole, order = self._layer(self._part(op.inputs[0]), depth + 1), op.input(1).array()
            if sorted(order.tolist()) != list(range(len(whole.codes))):
                raise damaged(layer_name(whole.op), "its GATHER does not take every row once")
            taken = (whole.codes[order], whole.scale[order], whole.bias[order])
            result = Rows(*taken, whole.activation, whole.op, whole.source, whole.start)
        else:
            raise damaged(op.outputs[0].name, f"a {op.name} stands among its ops")
        self._walked.append(op)
        return result

    def _part(self, tensor: Tensor | None) -> Op:
        """The op that writes a part of a layer, which nothing else may read."""
        op = None if tensor is None else self.producers.get(tensor)
        if tensor is None or op is None or tensor not in self.parts:
            raise damaged("" if tensor is None else tensor.name, "one of its parts is missing")
        if self._reads[tensor] != 1 or tensor in self._outputs:
            raise damaged(tensor.name, "its parts are read elsewhere")
        return op

    def _point(self, op: Op) -> Rows:
        kind, name = kind_of(op), layer_name(op)
        assert kind is not None, op.name
        activation, weight_slot, bias_slot = kind.site
        weight = op.input(weight_slot)
        scaling, bias = weight.quantization, op.optional_input(bias_slot)
        if not name or scaling is None or scaling.zero_point.any() or bias is None or bias.data is None:
            raise damaged(name or op.outputs[0].name, f"a {op.name} lacks its weight, scales or bias")
        self._budget -= math.prod(weight.shape)
        if self._budget < 0:
            raise damaged(name, "its weights are read without end")
        codes = kind.rows(weight.array())
        if not len(codes) == scaling.scale.size == bias.array().size:
            raise damaged(name, f"{len(codes)} rows have {scaling.scale.size} scales and {bias.array().size} biases")
        source, start = op.input(activation), 0
        cut = self.producers.get(source)
        if kind.per_channel and cut is not None and cut.code == BuiltinOperator.SLICE and source in self.parts:
            source, start = cut.input(0), int(cut.input(1).array()[-1])
            self._walked.append(cut)
        fused = _activation(op)
        offset = bias.array()
        offset = offset if bias.type == TensorType.FLOAT32 else offset.astype(np.int64)
        return Rows(codes, scaling.scale, offset, fused, op, source, start)

    def _sum(self, op: Op, depth: int) -> Rows:
        """Merged rows of an ADD, whose inputs come with the larger points first."""
        found = self._summands(op, depth)
        first = found[0]
        if any((p.source, p.start, p.codes.shape) != (first.source, first.start, first.codes.shape) for p in found):
            raise damaged(layer_name(first.op), "its points do not fit together")
        counts = np.full(len(first.codes), len(found))
        row = merge(MultipointWeight(tuple(Point(p.codes, p.scale) for p in found), counts, 8))
        if row is None:
            raise NotMergeableError
        if first.source.type == TensorType.FLOAT32:
            bias = sum(p.bias for p in found)
        else:
            bias = sum(np.rint(p.scale.astype(np.float64) / row.scale).astype(np.int64) * p.bias for p in found)
        activation = _activation(op)
        return Rows(row.codes, row.scale, np.asarray(bias), activation, first.op, first.source, first.start)

    def _summands(self, op: Op, depth: int) -> list[Rows]:
        _check_depth(op, depth)
        if kind_of(op) is not None:
            found = [self._point(op)]
        elif op.code == BuiltinOperator.ADD:
            found = [rows for t in op.inputs for rows in self._summands(self._part(t), depth + 1)]
        else:
            raise damaged(op.outputs[0].name, f"a {op.name} stands among its points")
        self._walked.append(op)
        return found

    def _joined(self, parts: Sequence[Rows]) -> Rows:
        first, name = parts[0], layer_name(parts[0].op)
        starts = np.cumsum([0, *(len(p.codes) for p in parts)])
        for part, start in zip(parts, starts, strict=False):
            same = part.source is first.source and part.activation == first.activation
            kind = kind_of(part.op)
            tied = kind is not None and kind.per_channel
            if not same or layer_name(part.op) != name or part.start != (start if tied else 0):
                raise damaged(name, "its parts do not fit together")
        # A dense op stands for a 1x1 convolution: a convolution says how the input is read.
        op = next((p.op for p in parts if kind_of(p.op) is not DENSE), first.op)
        codes, scale, bias = (np.concatenate([getattr(p, what) for p in parts]) for what in ("codes", "scale", "bias"))
        return Rows(codes, scale, bias, first.activation, op, first.source, 0)


def layer_name(op: Op) -> str:
    """Layer whose points the op's weight holds, "" if it is no op of a lowering."""
    weights = weights_of(op)
    found = _WEIGHT.fullmatch(weights[0].name) if weights else None
    return "" if found is None else found[1]


def _is_part(name: str, layers: Collection[str]) -> bool:
    found = _PART.fullmatch(name)
    return found is not None and found[1] in layers


def _activation(op: Op) -> int:
    found = getattr(op.options, "fusedActivationFunction", None)
    if found is None:
        raise damaged(op.outputs[0].name, f"its {op.name} has no options of its kind")
    return found


def _check_depth(op: Op, depth: int) -> None:
    if depth > _DEEPEST:
        raise damaged(op.outputs[0].name, "its ops go in a circle")


def damaged(where: str, why: str) -> FileFormatError:
    """The error for a layer that is not as tfmpq wrote it."""
    return FileFormatError(
        f"layer {where!r} cannot be expanded: {why}. The file was changed after tfmpq wrote it, or is corrupt: convert "
        "the model again."
    )
