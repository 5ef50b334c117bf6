"""Files of one operator, several times over: what the cost table of a target is measured on. Layers with weights."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from converters.layers.kinds import EMBEDDING, KINDS
from converters.lowering.build import bias_tensor, constant_weight, copy_op, float_bias
from converters.lowering.ops import dense
from converters.targets import Work, work_of
from converters.tflite.graph import BuiltinOperator, Graph, Model, Op, Quantization, Tensor, TensorType
from converters.tflite.new_ops import integers, make_op
from converters.tflite.writer import save

SCALE = 0.1
_TABLE_ROWS = 2000


@dataclass(frozen=True)
class Case:
    """One operator to measure, with its tensors."""

    op: Op

    @property
    def work(self) -> Work:
        """As the table sees it."""
        return work_of(self.op)


def as_float(case: Case) -> Case:
    """The same operator without weights on float activations."""

    def tensors(items: Iterable[Tensor | None]) -> list[Tensor]:
        return [
            t if t.data is not None else Tensor(t.name, t.shape, TensorType.FLOAT32) for t in items if t is not None
        ]

    return Case(copy_op(case.op, [*tensors(case.op.inputs)], tensors(case.op.outputs)))


def file_of(case: Case, copies: int) -> bytes:
    """``copies`` of the operator side by side, each with constants and outputs of its own."""
    ops, sources = [], [t for t in case.op.inputs if t is not None and t.data is None]
    for number in range(copies):
        inputs = [None if t is None else _copy(t, number) for t in case.op.inputs]
        outputs = [Tensor(f"{t.name}{number}", t.shape, t.type, None, t.quantization) for t in case.op.outputs]
        ops.append(copy_op(case.op, inputs, outputs))
    return save(Model([Graph(list(dict.fromkeys(sources)), [t for op in ops for t in op.outputs], ops)], [], {}))


def _copy(tensor: Tensor, number: int) -> Tensor:
    """The tensor itself, or a copy of a large constant with its bytes moved on: equal ones would be stored once."""
    if tensor.data is None or len(tensor.data) < 64 or tensor.type in (TensorType.FLOAT32, TensorType.INT32):
        return tensor
    shift = number % len(tensor.data)
    data = tensor.data[shift:] + tensor.data[:shift]
    return Tensor(f"{tensor.name}{number}", tensor.shape, tensor.type, data, tensor.quantization)


def activation(name: str, shape: tuple[int, ...], *, type_: int = TensorType.INT8, scale: float = SCALE) -> Tensor:
    """An activation; int8 ones have zero point 0."""
    scaling = None
    if type_ == TensorType.INT8:
        scaling = Quantization(np.array([scale], np.float32), np.zeros(1, np.int64))
    return Tensor(name, shape, type_, quantization=scaling)


def layer(
    kind: str,
    size: int,
    columns: int,
    rows: int,
    *,
    kernel: int = 1,
    stride: int = 1,
    groups: int = 1,
    bits: int = 8,
    floating: bool = False,
) -> Case:
    """A layer with weights on a square input with ``columns`` channels, SAME padding.

    Args:
        kind: what operator.
        size: height and width of the input; 0 for a flat vector.
        columns: input channels.
        rows: output channels.
        kernel: height and width of the kernel.
        stride: stride.
        groups: groups of input channels.
        bits: of the weights: 4 or 8, or 32 for a float layer.
        floating: whether activations are in float, which the runtime rounds row by row.
    """
    rng = np.random.default_rng(0)
    floating = floating or bits == 32
    type_ = TensorType.FLOAT32 if floating else TensorType.INT8
    source = activation("x", (1, size, size, columns) if size else (1, columns), type_=type_)
    out_size = size * stride if kind == "transpose_conv" else -(-size // stride)
    output = activation("y", (1, out_size, out_size, rows) if size else (1, rows), type_=type_, scale=1.0)
    if kind == "dense":
        shape: tuple[int, ...] = (rows, columns)
    elif kind == "depthwise":
        shape = (1, kernel, kernel, rows)
    else:
        shape = (rows, kernel, kernel, columns // groups)
    count = int(np.prod(shape))
    if bits == 32:
        weights = rng.normal(size=shape).astype(np.float32)
        weight = Tensor("w", shape, TensorType.FLOAT32, weights.tobytes())
        bias = float_bias("b", np.zeros(rows))
    else:
        limit = 7 if bits == 4 else 127
        codes = rng.integers(-limit, limit + 1, (rows, count // rows))
        scale = np.full(rows, 0.01, np.float32)
        weight = constant_weight("w", KINDS[kind], codes, scale, shape, int4=bits == 4)
        assert weight.shape[KINDS[kind].row_axis] == rows
        biases = rng.integers(-100, 100, rows)
        bias = float_bias("b", biases) if floating else bias_tensor("b", biases, SCALE, scale)
    if kind == "dense":
        return Case(dense([source, weight, bias], output, 0, keep_dims=bool(size)))
    if kind == "transpose_conv":
        where = integers("shape", output.shape)
        options = {"strideH": stride, "strideW": stride, "padding": 0}
        code = BuiltinOperator.TRANSPOSE_CONV
        return Case(make_op(code, [where, weight, source, bias], [output], 3, "TransposeConvOptions", **options))
    options = {"strideH": stride, "strideW": stride, "padding": 0, "dilationHFactor": 1, "dilationWFactor": 1}
    if kind == "conv":
        return Case(make_op(BuiltinOperator.CONV_2D, [source, weight, bias], [output], 3, "Conv2DOptions", **options))
    options["depthMultiplier"] = rows // columns
    code = BuiltinOperator.DEPTHWISE_CONV_2D
    return Case(make_op(code, [source, weight, bias], [output], 3, "DepthwiseConv2DOptions", **options))


def table(ids: int, columns: int, *, bits: int) -> Case:
    """An EMBEDDING_LOOKUP of ``ids`` rows, of 4, 8 or (float) 32 bits; or, of single numbers, the GATHER of a map."""
    rng = np.random.default_rng(0)
    source = activation("ids", (ids,), type_=TensorType.INT32)
    if columns == 1:
        places = activation("places", (ids,), type_=TensorType.INT32)
        numbers = integers("map", rng.permutation(_TABLE_ROWS))
        return Case(make_op(BuiltinOperator.GATHER, [numbers, source], [places], 1, "GatherOptions", axis=0))
    shape = (_TABLE_ROWS, columns)
    if bits == 32:
        weight = Tensor("w", shape, TensorType.FLOAT32, rng.normal(size=shape).astype(np.float32).tobytes())
    else:
        codes = rng.integers(-7, 8, shape)
        weight = constant_weight("w", EMBEDDING, codes, np.full(len(codes), 0.01, np.float32), shape, int4=bits == 4)
    result = activation("y", (ids, columns), type_=TensorType.FLOAT32)
    version = 1 if bits == 32 else EMBEDDING.lookup_version(weight)
    return Case(Op(BuiltinOperator.EMBEDDING_LOOKUP, [source, weight], [result], version))
