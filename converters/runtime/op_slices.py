"""Single operators of a file as files of their own, to be timed alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from converters.runtime.activations import Feed, Values, make_reader
from converters.runtime.interpreter import Kernels
from converters.tflite.graph import NUMPY_TYPES, BuiltinOperator, Graph, Model, Op, Tensor
from converters.tflite.writer import save

_WINDOWS = {BuiltinOperator.CONV_2D, BuiltinOperator.DEPTHWISE_CONV_2D}
_VALID = 1  # schema.Padding
# Of constants they are computed once, and the delegate then sees constants.
_ONCE = {BuiltinOperator.DEQUANTIZE, BuiltinOperator.DENSIFY}


@dataclass(frozen=True)
class OpSlice:
    """One operator, with what can only be computed together with it.

    Attributes:
        op: its number in the main graph.
        with_ops: numbers of the operators that the file computes besides.
        content: the file.
        inputs: arrays for the file's inputs, in order.
        outputs: shape and type of its outputs, in order.
    """

    op: int
    with_ops: tuple[int, ...]
    content: bytes
    inputs: tuple[np.ndarray, ...]
    outputs: tuple[tuple[tuple[int, ...], np.dtype], ...]


@dataclass(frozen=True)
class Slices:
    """All operators of a main graph.

    Attributes:
        slices: in graph order.
        left_out: number of an operator without a slice -> why; it is None where its time is another operator's.
        joined: number of an operator without a slice -> the operator that it is timed with.
    """

    slices: tuple[OpSlice, ...]
    left_out: dict[int, str]
    joined: dict[int, int]


def cut_ops(content: bytes, model: Model, feed: Feed, *, kernels: Kernels) -> Slices:
    """Cuts every operator of the main graph out.

    A PAD that only a convolution reads stays with it under XNNPACK, which computes both at once; so do operators on
    constants, which run once and never again.

    Args:
        content: the file.
        model: the same file, parsed.
        feed: what to run it with once: every operator then gets the values it gets in the network.
        kernels: which kernels the slices are for.

    Raises:
        FileFormatError: The built-in kernels cannot run the file.
    """
    graph = model.graph
    plain = [op for op in graph.ops if _inseparable([op]) is None]
    values = make_reader(content, model, plain, kernels="builtin")(feed)
    number = {op: i for i, op in enumerate(graph.ops)}
    joined = _joined(graph, fuse_padding=kernels == "xnnpack")
    slices, left_out = [], {}
    for op in graph.ops:
        if op in joined:
            continue
        ops = [*_closure(op, joined), op]
        reason = _inseparable(ops)
        if reason is None:
            slices.append(_cut(model, ops, values, number))
        else:
            left_out.update({number[o]: reason for o in ops})
    places = {number[a]: number[b] for a, b in joined.items() if number[a] not in left_out}
    return Slices(tuple(slices), left_out, places)


def _joined(graph: Graph, *, fuse_padding: bool) -> dict[Op, Op]:
    """Operators that are timed with the one reader of what they write."""
    consumers = graph.consumers()
    joined = {}
    for op in graph.ops:
        readers = consumers.get(op.outputs[0], []) if len(op.outputs) == 1 else []
        if not readers or op.outputs[0] in graph.outputs:
            continue
        once = op.code in _ONCE and all(t is None or t.data is not None for t in op.inputs)
        if once or (fuse_padding and len(readers) == 1 and _pads(op, readers[0])):
            joined[op] = readers[0]
    return joined


def _pads(op: Op, reader: Op) -> bool:
    if op.code != BuiltinOperator.PAD or reader.code not in _WINDOWS or op.input(1).data is None:
        return False
    amounts = op.input(1).array()
    spatial = amounts.shape == (4, 2) and not amounts[[0, 3]].any()
    return spatial and reader.inputs[0] is op.outputs[0] and reader.options.padding == _VALID


def _closure(op: Op, joined: Mapping[Op, Op]) -> list[Op]:
    """What must be computed with ``op``, in graph order; an operator on constants may have several readers."""
    read = {t for t in op.inputs if t is not None}
    direct = [o for o in joined if any(t in read for t in o.outputs)]
    return [o for first in direct for o in [*_closure(first, joined), first]]


def _inseparable(ops: list[Op]) -> str | None:
    for op in ops:
        for tensor in (*op.inputs, *op.outputs):
            if tensor is not None and tensor.data is None and tensor.type not in NUMPY_TYPES:
                return f"{op.name} keeps a state that other operators share"
        if not op.outputs:
            return f"{op.name} writes nothing"
    return None


def _cut(model: Model, ops: list[Op], values: Values, number: Mapping[Op, int]) -> OpSlice:
    made = {t for op in ops for t in op.outputs}
    read = dict.fromkeys(t for op in ops for t in op.inputs if t is not None and t.data is None)
    inputs = [t for t in read if t not in made and not _is_variable(t)]
    outputs = ops[-1].outputs
    fixed = {t: _with_shape(t, values[t].shape) for t in (*inputs, *outputs) if t.shape != values[t].shape}

    def place(tensor: Tensor | None) -> Tensor | None:
        return None if tensor is None else fixed.get(tensor, tensor)

    copies = [
        Op(o.code, [place(t) for t in o.inputs], [fixed.get(t, t) for t in o.outputs], o.version, o.options_type,
           o.options, o.custom_code, o.intermediates, o.raw)
        for o in ops
    ]  # fmt: skip
    part = Graph([fixed.get(t, t) for t in inputs], [fixed.get(t, t) for t in outputs], copies)
    content = save(Model([part, *model.graphs[1:]], [], {}, version=model.version))
    arrays = tuple(values[t] for t in inputs)
    shapes = tuple((values[t].shape, values[t].dtype) for t in outputs)
    return OpSlice(number[ops[-1]], tuple(number[o] for o in ops[:-1]), content, arrays, shapes)


def _is_variable(tensor: Tensor) -> bool:
    return tensor.raw is not None and bool(tensor.raw.isVariable)


def _with_shape(tensor: Tensor, shape: tuple[int, ...]) -> Tensor:
    """The tensor with the shape it has for the values at hand: an operator alone has nothing to infer it from."""
    return Tensor(tensor.name, tuple(int(n) for n in shape), tensor.type, None, tensor.quantization)
