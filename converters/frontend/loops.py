"""Loops as TensorFlow's calibrator can run them."""

from __future__ import annotations

from converters.tflite.graph import BuiltinOperator, Graph, Tensor, TensorType
from converters.tflite.new_ops import integers, make_op
from converters.tflite.reader import load
from converters.tflite.writer import save


def with_copies(flatbuffer: bytes) -> bytes:
    """A file of which no loop hands on values as they are, or the file itself.

    Loops that read the same values in every step, as recurrent layers read their whole input, get them from step to
    step. TensorFlow's calibrator follows a null pointer where a loop's body hands on a float tensor that it reads, and
    the process ends; a SLICE of everything, which is what comes out here, computes nothing and spares it that.

    Args:
        flatbuffer: a float file.
    """
    model = load(flatbuffer)
    loops = [op for graph in model.graphs for op in graph.ops if op.code == BuiltinOperator.WHILE]
    changed = [_copy_passed_on(body) for body in {model.graphs[op.options.bodySubgraphIndex] for op in loops}]
    return save(model) if any(changed) else flatbuffer


def _copy_passed_on(body: Graph) -> bool:
    """Puts a copy in the place of what is read and handed on; whether there was any."""
    read = body.consumers()
    passed = [t for t in body.inputs if t in body.outputs and t in read and t.type == TensorType.FLOAT32]
    for tensor in passed:
        rank, kept = len(tensor.shape), Tensor(f"{tensor.name}/kept", tensor.shape, tensor.type)
        kept.shape_signature = tensor.shape_signature
        ends = [integers(f"{kept.name}/begin", [0] * rank), integers(f"{kept.name}/size", [-1] * rank)]
        body.ops.append(make_op(BuiltinOperator.SLICE, [tensor, *ends], [kept], 1, "SliceOptions"))
        body.outputs[:] = [kept if t is tensor else t for t in body.outputs]
    return bool(passed)
