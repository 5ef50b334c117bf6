"""Masks of attention as sums: a SELECT of scores or a huge negative number is an ADD of that number or 0.

Scores are float, so that nothing is left of them beside a number of 1e30 and more: the sum is that number, and what a
softmax makes of it is the same. A delegate takes an ADD, whose mask may be small (one row for all heads and queries),
and leaves a SELECT of all scores to plain kernels, once in every block of a network.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from converters.rewriting.masks import softmax_ways
from converters.tflite.graph import BuiltinOperator, Graph, Model, Op, Tensor, TensorType, schema

_HUGE = 1e30  # half a step of float32 there is 4e22: more than any score


def with_summed_masks(model: Model) -> Model:
    """The model with its masks as sums; the same outputs bit by bit, as long as scores are below 1e22.

    Args:
        model: a float model; it is not changed.

    Returns:
        The model itself where there is no such mask.
    """
    copy = model.clone().model
    graph = copy.graph
    ways, whole = softmax_ways(graph), _whole_masks(graph)
    biases: dict[tuple[Tensor, bytes, bool], tuple[Op, Tensor]] = {}  # one mask serves all blocks
    ops: list[Op] = []
    for op in graph.ops:
        found = _masked(op) if op.outputs and ways.get(op.outputs[0]) else None
        if found is None:
            ops.append(op)
            continue
        scores, fill, kept = found
        condition = whole.get(op.input(0), op.input(0))
        key = condition, fill.data or b"", kept
        if key not in biases:
            biases[key] = made = _bias(condition, fill, kept, f"{op.outputs[0].name}/mask")
            ops.append(made[0])
        ops.append(_sum(scores, biases[key][1], op.outputs[0]))
    if not biases:
        return model
    read = {t for op in ops for t in op.inputs} | set(graph.outputs)
    graph.ops = [op for op in ops if op.name != "LOGICAL_AND" or op.outputs[0] in read]
    return copy


def _whole_masks(graph: Graph) -> dict[Tensor, Tensor]:
    """What a LOGICAL_AND with a constant of nothing but True writes -> the same before it was broadcast."""
    found = {}
    for op in graph.ops:
        if op.name != "LOGICAL_AND" or len(op.inputs) != 2:
            continue
        for constant, other in ((op.input(0), op.input(1)), (op.input(1), op.input(0))):
            if constant.data is not None and other.data is None and constant.array().all():
                found[op.outputs[0]] = found.get(other, other)
    return found


def _masked(op: Op) -> tuple[Tensor, Tensor, bool] | None:
    """(scores, the number in place of masked ones, whether True keeps a score); None if the op is no such mask."""
    if op.name not in ("SELECT", "SELECT_V2") or len(op.inputs) != 3:
        return None
    for scores, fill, kept in ((op.input(1), op.input(2), True), (op.input(2), op.input(1), False)):
        if scores.data is not None or fill.data is None or fill.type != TensorType.FLOAT32:
            continue
        values = fill.array()
        if values.size == 1 and values.min() <= -_HUGE and scores.shape == op.outputs[0].shape:
            return scores, fill, kept
    return None


def _bias(condition: Tensor, fill: Tensor, kept: bool, name: str) -> tuple[Op, Tensor]:
    """A SELECT of 0 or the huge number, as large as the mask."""
    zero = Tensor(f"{name}/zero", (), TensorType.FLOAT32, np.float32(0).tobytes())
    number = replace(fill, shape=())
    bias = Tensor(name, condition.shape, TensorType.FLOAT32, shape_signature=condition.shape_signature)
    values = [zero, number] if kept else [number, zero]
    options = schema.SelectV2OptionsT()
    op = Op(BuiltinOperator.SELECT_V2, [condition, *values], [bias], 1, schema.BuiltinOptions.SelectV2Options, options)
    return op, bias


def _sum(scores: Tensor, bias: Tensor, output: Tensor) -> Op:
    options = schema.AddOptionsT()
    return Op(BuiltinOperator.ADD, [scores, bias], [output], 1, schema.BuiltinOptions.AddOptions, options)
