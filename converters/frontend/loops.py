"""Loops as TensorFlow's calibrator can run them."""

from __future__ import annotations

import numpy as np

from converters.tflite.graph import BuiltinOperator, Graph, Op, Tensor, TensorType
from converters.tflite.reader import load
from converters.tflite.writer import save

_ENDS = ("begin", "size")


def with_copies(flatbuffer: bytes) -> bytes:
    """A file of which no loop hands on values as they are, or the file itself.

    Loops that read the same values in every step, as recurrent layers read their whole input, get them from step to
    step. TensorFlow's calibrator follows a null pointer where a loop's body hands on a float tensor that it reads, and
    the process ends; a SLICE of everything, which is what comes out here, computes nothing and spares it that.

    Args:
        flatbuffer: a float file.
    """
    model = load(flatbuffer)
    bodies = [model.graphs[op.options.bodySubgraphIndex] for part in model.graphs for op in part.ops if _loops(op)]
    changed = [_copy_passed_on(body) for body in dict.fromkeys(bodies)]
    return save(model) if any(changed) else flatbuffer


def _loops(op: Op) -> bool:
    return op.code == BuiltinOperator.WHILE


def _copy_passed_on(body: Graph) -> bool:
    """Puts a copy in the place of what is read and handed on; whether there was any."""
    from ai_edge_litert import schema_py_generated as schema

    read = body.consumers()
    passed = [t for t in body.inputs if t in body.outputs and t in read and t.type == TensorType.FLOAT32]
    for tensor in passed:
        rank, kept = len(tensor.shape), Tensor(f"{tensor.name}/kept", tensor.shape, tensor.type)
        kept.shape_signature = tensor.shape_signature
        ends = [_integers(f"{kept.name}/{end}", [value] * rank) for end, value in zip(_ENDS, (0, -1), strict=True)]
        kind, options = schema.BuiltinOptions.SliceOptions, schema.SliceOptionsT()
        body.ops.append(Op(BuiltinOperator.SLICE, [tensor, *ends], [kept], 1, kind, options))
        body.outputs[:] = [kept if t is tensor else t for t in body.outputs]
    return bool(passed)


def _integers(name: str, values: list[int]) -> Tensor:
    array = np.array(values, np.int32)
    return Tensor(name, array.shape, TensorType.INT32, array.tobytes())
