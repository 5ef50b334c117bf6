from __future__ import annotations

import numpy as np

from converters.runtime import interpreter as runtime
from converters.runtime.delegation import Coverage, delegate_coverage
from converters.tflite import graph
from converters.tflite.packing import pack_int4
from converters.tflite.reader import load
from converters.tflite.writer import save


def with_int4_projection(content: bytes) -> bytes:
    """The int8 file with the 1x1 convolution's weights stored as INT4, which XNNPACK does not take."""
    model = load(content)
    op = [op for op in model.graph.ops if op.name == "CONV_2D"][-1]
    weight = op.input(1)
    weight.data = pack_int4(np.clip(weight.array(), -7, 7))
    weight.type = graph.TensorType.INT4
    return save(model)


def test_coverage_of_a_fully_delegated_int8_network(conv_net_int8):
    coverage = delegate_coverage(runtime.make_interpreter(conv_net_int8))
    assert coverage == Coverage(delegated_ops=5, total_ops=5, partitions=1, left=())
    without = delegate_coverage(runtime.make_interpreter(conv_net_int8, kernels="builtin"))
    assert (without.delegated_ops, without.partitions, len(without.left)) == (0, 0, 5)


def test_coverage_names_the_op_that_is_left(conv_net_int8):
    interpreter = runtime.make_interpreter(with_int4_projection(conv_net_int8))
    coverage = delegate_coverage(interpreter)
    assert coverage == Coverage(delegated_ops=4, total_ops=5, partitions=2, left=((2, "CONV_2D"),))
