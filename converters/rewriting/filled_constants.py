"""States that loops start with: large constants of one number, which an operator can make in a few bytes.

Recurrent layers collect the results of their steps in an array of zeros as large as all of them together.
"""

from __future__ import annotations

from math import prod

import numpy as np

from converters.layers.kinds import LEAST_DYNAMIC
from converters.tflite.graph import BuiltinOperator, Graph, Op, Tensor, TensorType, schema

_VERSION = 1  # int32 sizes, float values; every LiteRT loads it


def fill_starts(graph: Graph) -> None:
    """Gives loops a FILL in place of each large float constant of one number, in place and exactly.

    Args:
        graph: whose WHILE operators are looked at.
    """
    made: dict[Tensor, Tensor] = {}
    ops: list[Op] = []
    for op in graph.ops:
        for slot, tensor in enumerate(op.inputs if op.code == BuiltinOperator.WHILE else ()):
            if tensor is None or not _is_even(tensor):
                continue
            if tensor not in made:
                fill = _fill(tensor)
                ops.append(fill)
                made[tensor] = fill.outputs[0]
            op.inputs[slot] = made[tensor]
        ops.append(op)
    graph.ops = ops


def _is_even(tensor: Tensor) -> bool:
    if tensor.data is None or tensor.type != TensorType.FLOAT32 or prod(tensor.shape) < LEAST_DYNAMIC:
        return False
    bits = tensor.array().view(np.int32)
    return bool((bits == bits.flat[0]).all())


def _fill(tensor: Tensor) -> Op:
    sizes, value = np.array(tensor.shape, np.int32), tensor.array().ravel()[:1]
    dims = Tensor(f"{tensor.name}/shape", sizes.shape, TensorType.INT32, sizes.tobytes())
    number = Tensor(f"{tensor.name}/value", (), TensorType.FLOAT32, value.tobytes())
    result = Tensor(f"{tensor.name}/filled", tensor.shape, TensorType.FLOAT32, shape_signature=tensor.shape_signature)
    options = schema.FillOptionsT()
    return Op(BuiltinOperator.FILL, [dims, number], [result], _VERSION, schema.BuiltinOptions.FillOptions, options)
