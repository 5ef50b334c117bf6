"""Masks of attention as sums: a SELECT of scores or a huge negative number is an ADD of that number or 0.

Scores are float, so that nothing is left of them beside a number of 1e30 and more: the sum is that number, and what a
softmax makes of it is the same. A delegate takes an ADD, whose mask may be small (one row for all heads and queries),
and leaves a SELECT of all scores to plain kernels, once in every block of a network.
"""

from __future__ import annotations

import numpy as np

from converters.rewriting.masks import softmax_ways
from converters.tflite.graph import BuiltinOperator, Graph, Model, Op, Tensor, TensorType
from converters.tflite.new_ops import make_op

_HUGE = 1e30  # half a step of float32 there is 4e22: more than any score


def with_summed_masks(model: Model) -> Model:
    """The model with its masks as sums; the same outputs bit by bit, as long as scores are below 1e22.

    Args:
        model: a float model; it is not changed.

    Returns:
        The model itself where there is no such mask.
    """
    graph = model.graph
    ways = softmax_ways(graph)
    masks = {op: found for op in graph.ops if op.outputs and ways.get(op.outputs[0]) and (found := _masked(op))}
    if not masks:
        return model
    whole = _whole_masks(graph)
    biases: dict[tuple[Tensor, float, bool], Tensor] = {}  # one mask serves all blocks
    ops: list[Op] = []
    for op in graph.ops:
        if op not in masks:
            ops.append(op)
            continue
        scores, number, kept = masks[op]
        condition = whole.get(op.input(0), op.input(0))
        key = condition, number, kept
        if key not in biases:
            ops.append(_bias(condition, number, kept, f"{op.outputs[0].name}/mask"))
            biases[key] = ops[-1].outputs[0]
        ops.append(make_op(BuiltinOperator.ADD, [scores, biases[key]], op.outputs, 1, "AddOptions"))
    read = {t for op in ops for t in op.inputs} | set(graph.outputs)
    return model.with_ops([op for op in ops if op.name != "LOGICAL_AND" or op.outputs[0] in read])


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


def _masked(op: Op) -> tuple[Tensor, float, bool] | None:
    """(scores, the number in place of masked ones, whether True keeps a score); None if the op is no such mask."""
    if op.name not in ("SELECT", "SELECT_V2") or len(op.inputs) != 3:
        return None
    if op.name == "SELECT" and op.input(0).shape != op.outputs[0].shape:  # which picks rows, and broadcasts nothing
        return None
    for scores, fill, kept in ((op.input(1), op.input(2), True), (op.input(2), op.input(1), False)):
        if scores.data is not None or fill.data is None or fill.type != TensorType.FLOAT32:
            continue
        values = fill.array()
        one = values.size > 0 and values.min() == values.max() <= -_HUGE
        if one and scores.shape == op.outputs[0].shape:
            return scores, float(values.flat[0]), kept
    return None


def _bias(condition: Tensor, number: float, kept: bool, name: str) -> Op:
    """A SELECT of 0 or the huge number, as large as the mask."""
    zero, masked = (
        Tensor(f"{name}/{what}", (), TensorType.FLOAT32, np.float32(value).tobytes())
        for what, value in (("zero", 0), ("number", number))
    )
    bias = Tensor(name, condition.shape, TensorType.FLOAT32, shape_signature=condition.shape_signature)
    values = [zero, masked] if kept else [masked, zero]
    return make_op(BuiltinOperator.SELECT_V2, [condition, *values], [bias], 1, "SelectV2Options")
