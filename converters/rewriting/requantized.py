"""Inputs of single operators of an int8 file at scales of their own: an ADD of zero in front of each.

A QUANTIZE from int8 to int8 would do, but rounds badly: the built-in kernels round the product of integer and
multiplier before they shift it (10 steps of 1/21 become 8/16, and that becomes 1), XNNPACK has 8 bits of the
multiplier. Either moves values to one side where scales are far apart, by up to an eighth of a 4-bit code. Both compute
an ADD at 20 bits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from converters.layers.kinds import kind_of
from converters.layers.twins import twin_ops
from converters.tflite.graph import BuiltinOperator, Graph, Model, Op, Quantization, Tensor, TensorType
from converters.tflite.new_ops import make_op

_VERSION = 2  # of an ADD of int8
_STEPS, _LOWEST = 255, -128

Range = tuple[float, float]


def with_requantized(model: Model, float_graph: Graph, ranges: Mapping[str, Sequence[Range]]) -> Model:
    """The model with other scales for what some layers read; what else reads these tensors sees them as before.

    Args:
        model: of an int8 file; it is not changed.
        float_graph: the main graph that it is the int8 twin of.
        ranges: name of what a layer of the float graph writes -> (min, max) that its int8 input is to cover, or several
            one behind the other. Layers that read one tensor with one range share an ADD.
    """
    clone = model.clone()
    graph = clone.model.graph
    wanted: dict[Op, Sequence[Range]] = {}
    for float_op, int8_op in twin_ops(float_graph, model.graph):
        if int8_op is not None and float_op.outputs[0].name in ranges:
            wanted[clone.ops[int8_op]] = ranges[float_op.outputs[0].name]
    made: dict[tuple[Tensor, Range], Tensor] = {}
    ops: list[Op] = []
    for op in graph.ops:
        kind, spans = kind_of(op), wanted.get(op, ())
        if kind is not None and spans:
            slot = kind.site.activation
            source = op.input(slot)
            for span in spans:
                if (source, span) not in made:
                    made[source, span] = _at(source, span, len(made))
                    ops.append(_rescaling(source, made[source, span]))
                source = made[source, span]
            op.inputs[slot] = source
        ops.append(op)
    graph.ops = ops
    return clone.model


def _rescaling(source: Tensor, result: Tensor) -> Op:
    scaling = Quantization(np.array([source.scale], np.float32), np.zeros(1, np.int64))
    zero = Tensor(f"{result.name}/zero", (1,), TensorType.INT8, b"\0", scaling)
    return make_op(BuiltinOperator.ADD, [source, zero], [result], _VERSION, "AddOptions")


def _at(source: Tensor, span: Range, number: int) -> Tensor:
    low, high = span
    scale = (high - low) / _STEPS
    zero_point = int(np.clip(round(_LOWEST - low / scale), _LOWEST, _LOWEST + _STEPS))
    scaling = Quantization(np.array([scale], np.float32), np.array([zero_point], np.int64))
    return replace(source, name=f"{source.name}/requantized_{number}", quantization=scaling, raw=None)
