"""Why XNNPACK leaves an operator to slower kernels, and what to do about it: a table.

Every row was found by asking the runtime (ai-edge-litert 2.3, x86-64) with a file of that one operator, and the tests
ask again.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from converters.layers.kinds import kind_of
from converters.tflite.graph import TYPE_NAMES, BuiltinOperator, Graph, Op, Tensor, TensorType
from tfmpq.analysis.kernels import FLOAT_KERNELS, INSTEAD, QUANTIZED_KERNELS

_QUANTIZED = {TensorType.INT8, TensorType.UINT8}
_FLOATS = {TensorType.FLOAT32, TensorType.FLOAT16, TensorType.BFLOAT16}
_WINDOWS = {"CONV_2D", "DEPTHWISE_CONV_2D", "TRANSPOSE_CONV"}
_ACTIVATIONS = {"RELU", "RELU6", "RELU_N1_TO_1"}
_POOLS = {"AVERAGE_POOL_2D", "MAX_POOL_2D"}
_MOST_JOINED, _MOST_PIECES, _MOST_DIMENSIONS = 5, 4, 6
_MOST_RATIO = 2.0**10  # of the scales of an addition


@dataclass(frozen=True)
class Situation:
    """An operator and what its reason may depend on.

    Attributes:
        op: the operator.
        dynamic: whether its shapes are known only while the network runs.
        ours: whether a lowering of tfmpq wrote it.
        layer: its Keras layer.
    """

    op: Op
    dynamic: bool
    ours: bool
    layer: str

    @property
    def activations(self) -> list[Tensor]:
        """What it reads and writes while running."""
        return [t for t in (*self.op.inputs, *self.op.outputs) if t is not None and t.data is None]

    @property
    def weight(self) -> Tensor | None:
        """The weights of a convolution or dense layer."""
        kind = kind_of(self.op)
        return None if kind is None else self.op.input(kind.site.weight)

    @property
    def quantized(self) -> bool:
        """Whether it works on 8-bit activations."""
        return any(t.type in _QUANTIZED for t in self.activations)

    def words(self) -> dict[str, object]:
        """What texts may mention."""
        op = self.op
        types = {TYPE_NAMES[t.type] for t in self.activations if t.type not in _QUANTIZED | _FLOATS}
        return {
            "op": op.name,
            "inputs": len(op.inputs),
            "outputs": len(op.outputs),
            "columns": self.weight.shape[-1] if self.weight is not None else 0,
            "types": " and ".join(sorted(types)),
            "rank": max((len(t.shape) for t in self.activations), default=0),
            "layer": self.layer,
            "match": f"^{re.escape(self.layer)}$",
            "instead": INSTEAD.get(op.name, "avoid it, or accept the change to slower kernels and back"),
        }


@dataclass(frozen=True)
class Reason:
    """One row of the table; the first that applies counts. Texts may use :meth:`Situation.words`.

    Attributes:
        name: identifies the row.
        applies: whether it does.
        why: what keeps the operator off the delegate.
        change: what to do.
        change_ours: the same where tfmpq wrote the operator; None: no other advice.
    """

    name: str
    applies: Callable[[Situation], bool]
    why: str
    change: str
    change_ours: str | None = None


def _int4(s: Situation) -> bool:
    return s.weight is not None and s.weight.type == TensorType.INT4


def _scales_apart(s: Situation) -> bool:
    if s.op.name not in ("ADD", "SUB"):
        return False
    scales = [t.scale for t in (*s.op.inputs, *s.op.outputs) if t is not None and t.quantization is not None]
    return bool(scales) and max(scales) > _MOST_RATIO * min(scales)


def _right_offset(s: Situation) -> bool:
    right = s.op.inputs[1] if s.op.name == "BATCH_MATMUL" and len(s.op.inputs) > 1 else None
    return right is not None and right.type in _QUANTIZED and right.quantization is not None and right.zero_point != 0


def _option(s: Situation, name: str) -> int:
    return int(getattr(s.op.options, name, 0) or 0)


def _strides(s: Situation) -> bool:
    steps = s.op.inputs[3] if s.op.name == "STRIDED_SLICE" and len(s.op.inputs) > 3 else None
    return steps is not None and steps.data is not None and (steps.array() != 1).any()


def _gaps(s: Situation) -> bool:
    wide = _option(s, "strideW") > _option(s, "filterWidth")
    tall = _option(s, "strideH") > _option(s, "filterHeight")
    return s.op.name in _POOLS and _has_kernel(s) and (wide or tall)


def _has_kernel(s: Situation) -> bool:
    return s.op.name in (QUANTIZED_KERNELS if s.quantized else FLOAT_KERNELS)


REASONS: tuple[Reason, ...] = (
    Reason(
        "custom",
        lambda s: s.op.custom_code is not None,
        "it is a custom operator",
        "build the layer of standard operators",
    ),
    Reason(
        "dynamic",
        lambda s: s.dynamic,
        "its shape is known only while the network runs",
        "convert with a fixed batch size (batch_size=1) and fixed input sizes, and reshape to constant shapes",
    ),
    Reason(
        "int4 window",
        lambda s: _int4(s) and s.op.name in _WINDOWS,
        "XNNPACK has no kernel for {op} with INT4 weights, only for dense layers",
        "store the weights as INT8, or a 1x1 convolution as a dense layer",
        "expand the file when it is loaded: tfmpq.expand(content) or `tfmpq expand`; or convert with lowering='auto'",
    ),
    Reason(
        "int4 odd",
        lambda s: _int4(s) and s.weight is not None and s.weight.shape[-1] % 2 == 1,
        "its INT4 rows have {columns} weights, an odd number",
        "give the layer an even number of inputs, or store it as INT8: tfmpq.Rule(match=r'{match}', bits=8)",
    ),
    Reason(
        "computed weights",
        lambda s: s.weight is not None and s.weight.data is None,
        "its weights are computed in the graph, and XNNPACK wants constants",
        "multiply activations with keras.ops.matmul (BATCH_MATMUL is taken), and keep weights constant",
    ),
    Reason(
        "16 bits",
        lambda s: any(t.type == TensorType.INT16 for t in s.activations),
        "its activations have 16 bits",
        "convert with 8-bit activations, as tfmpq does",
    ),
    Reason(
        "lookup",
        lambda s: s.op.name == "EMBEDDING_LOOKUP",
        "it looks up rows of a table, which plain kernels do as fast",
        "leave it: there is nothing to gain",
    ),
    Reason(
        "dynamic range",
        lambda s: (
            s.weight is not None
            and s.weight.type in (TensorType.INT8, TensorType.INT4)
            and any(t.type in _FLOATS for t in s.activations)
        ),
        "its weights are integers but its activations float",
        "XNNPACK takes int8 dense layers, convolutions and transposed ones so, and INT4 dense layers; leave others in "
        "float, or convert with int8 activations",
    ),
    Reason(
        "many joined",
        lambda s: s.op.name == "CONCATENATION" and len(s.op.inputs) > _MOST_JOINED,
        "it joins {inputs} pieces, and XNNPACK joins at most 5",
        "concatenate in two steps, at most 5 each",
    ),
    Reason(
        "many pieces",
        lambda s: s.op.name == "SPLIT" and len(s.op.outputs) > _MOST_PIECES,
        "it makes {outputs} pieces, and XNNPACK makes at most 4",
        "split in two steps, at most 4 pieces each, or slice",
    ),
    Reason(
        "gathered rows",
        lambda s: s.ours and s.op.name == "GATHER" and not any(t.type == TensorType.INT32 for t in s.op.outputs),
        "it puts the channels of '{layer}' back in order, which nothing behind it can do",
        "a recipe rule tfmpq.Rule(match=r'{match}', lowering='fused') does without it",
    ),
    Reason(
        "activation alone",
        lambda s: s.quantized and s.op.name in _ACTIVATIONS,
        "the activation stands alone: in int8 it is taken only fused into the operator before it",
        "put it right behind a convolution, dense layer or addition that nothing else reads",
    ),
    Reason(
        "steps",
        _strides,
        "it takes every n-th element, and XNNPACK only whole ranges",
        "take the stride in the convolution or pooling before it",
    ),
    Reason(
        "dropped dimension",
        lambda s: s.op.name == "STRIDED_SLICE" and any(_option(s, n) for n in ("shrinkAxisMask", "newAxisMask")),
        "it drops or adds a dimension (x[:, 0] or x[:, None])",
        "slice with a range (x[:, 0:1]) and use Reshape",
    ),
    Reason("gaps", _gaps, "its stride is larger than its window", "make the window as large as the stride"),
    Reason(
        "scales apart",
        _scales_apart,
        "the scales of what it adds and of the sum differ more than a thousandfold",
        "bring both to similar ranges, by a normalization say; or calibrate with more representative data",
    ),
    Reason(
        "right side",
        _right_offset,
        "the right-hand side of the product has another zero point than 0, which XNNPACK wants",
        "convert with ranges='auto', or give what writes that side tfmpq.Rule(match=..., activations='symmetric'); a "
        "softmax or sigmoid, whose zero point is fixed, belongs on the left",
    ),
    Reason(
        "many dimensions",
        lambda s: max((len(t.shape) for t in s.activations), default=0) > _MOST_DIMENSIONS,
        "it works on {rank} dimensions, and XNNPACK on at most 6",
        "reshape to fewer dimensions",
    ),
    Reason(
        "type",
        lambda s: bool(s.words()["types"]) and not any(t.type in _QUANTIZED | _FLOATS for t in s.activations),
        "it computes with {types}, and XNNPACK only with float and 8-bit integers",
        "leave index and shape arithmetic out of the model, or make it constant",
    ),
    Reason(
        "float only",
        lambda s: s.quantized and not _has_kernel(s) and s.op.name in FLOAT_KERNELS,
        "XNNPACK has {op} in float only, not in int8",
        "{instead}",
    ),
    Reason("no kernel", lambda s: not _has_kernel(s), "XNNPACK has no kernel for {op}", "{instead}"),
)


def dynamic_ops(graph: Graph) -> set[Op]:
    """Operators that read or write a tensor whose shape is known only while the network runs."""
    unknown: set[Tensor] = set()
    found = set()
    for op in graph.ops:
        if any(t in unknown for t in _present(op.inputs)):
            found.add(op)
            if op.code not in (BuiltinOperator.SHAPE, BuiltinOperator.RANK):
                unknown.update(op.outputs)
        elif any(t is not None and t.data is None for t in _shape_operands(op)):
            found.add(op)
            unknown.update(op.outputs)
    return found


_SHAPE_OPERANDS = {
    "RESHAPE": (1,), "SLICE": (1, 2), "STRIDED_SLICE": (1, 2, 3), "PAD": (1,), "PADV2": (1,), "MIRROR_PAD": (1,),
    "TILE": (1,), "FILL": (0,), "BROADCAST_TO": (1,), "RANGE": (0, 1, 2), "RESIZE_BILINEAR": (1,), "EXPAND_DIMS": (1,),
    "RESIZE_NEAREST_NEIGHBOR": (1,), "TRANSPOSE_CONV": (0,), "TRANSPOSE": (1,), "MEAN": (1,), "SUM": (1,),
}  # fmt: skip


def _shape_operands(op: Op) -> Iterable[Tensor | None]:
    return (op.inputs[i] for i in _SHAPE_OPERANDS.get(op.name, ()) if i < len(op.inputs))


def _present(tensors: Iterable[Tensor | None]) -> Iterable[Tensor]:
    return (t for t in tensors if t is not None)
