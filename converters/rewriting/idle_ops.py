"""Operators of an int8 file that do nothing, or nothing that another would not do better, once its scales are known.

* A MINIMUM or MAXIMUM with a bound that is the last integer of its tensor: int8 saturates there by itself.
* A LEAKY_RELU of slope 1 behind the QUANTIZE of a float tensor: a QUANTIZE of that tensor to its scale is as much, and
  rounds once.
"""

from __future__ import annotations

from dataclasses import replace

from converters.tflite.graph import BuiltinOperator, Model, Op, Tensor, TensorType

_LAST = {BuiltinOperator.MINIMUM: 127, BuiltinOperator.MAXIMUM: -128}


def without_idle_ops(model: Model) -> Model:
    """The model without them; it computes the same integers, or those of values that were rounded once, not twice.

    Args:
        model: of an int8 file; it is not changed.
    """
    model = model.clone().model
    graph = model.graph
    outputs, producers = set(graph.outputs), graph.producers()
    instead: dict[Tensor, Tensor] = {}
    ops = []
    for op in graph.ops:
        op.inputs = [None if t is None else instead.get(t, t) for t in op.inputs]
        if _idle(op) and op.outputs[0] not in outputs:
            instead[op.outputs[0]] = op.input(0)
            continue
        source = producers.get(op.input(0)) if _unchanging(op) else None
        if source is not None and _from_float(source):
            op = replace(source, outputs=op.outputs)
        ops.append(op)
    graph.ops = ops
    return model


def _idle(op: Op) -> bool:
    """Whether a bound lies where the tensor's integers end anyway, and the scale stays."""
    if op.code not in _LAST or len(op.inputs) != 2:
        return False
    source, limit, output = op.input(0), op.input(1), op.outputs[0]
    if any(t.type != TensorType.INT8 or t.quantization is None for t in (source, limit, output)):
        return False
    if limit.data is None or source.shape != output.shape:
        return False
    scalings = {(t.scale, t.zero_point) for t in (source, limit, output)}
    return len(scalings) == 1 and bool((limit.array() == _LAST[op.code]).all())


def _unchanging(op: Op) -> bool:
    return op.code == BuiltinOperator.LEAKY_RELU and op.options.alpha == 1 and op.outputs[0].type == TensorType.INT8


def _from_float(op: Op) -> bool:
    return op.code == BuiltinOperator.QUANTIZE and op.input(0).type == TensorType.FLOAT32
