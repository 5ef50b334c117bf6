from __future__ import annotations

import numpy as np
import pytest

from converters.errors import DataError
from converters.runtime import interpreter as runtime
from converters.runtime.values import IoDetail, dequantize, quantize
from converters.tflite import graph
from converters.tflite.writer import save


@pytest.mark.parametrize(("dtype", "zero_point"), [(np.int8, -3), (np.uint8, 100)])
def test_float_feeds_are_quantized_like_the_quantize_operator(dtype, zero_point):
    ties = np.array([-300, -2.5, -1.5, -0.5, -0.49999997, 0.49999997, 0.5, 1.5, 2.5, 300], np.float32)
    values = np.concatenate([ties * 0.25, np.random.default_rng(0).normal(0, 20, 1000).astype(np.float32)])
    real = graph.Tensor("x", values.shape, graph.TensorType.FLOAT32)
    kind = graph.TensorType.INT8 if dtype is np.int8 else graph.TensorType.UINT8
    scaling = graph.Quantization(np.array([0.25], np.float32), np.array([zero_point], np.int64))
    integer = graph.Tensor("q", values.shape, kind, quantization=scaling)
    op = graph.Op(graph.BuiltinOperator.QUANTIZE, [real], [integer])
    content = save(graph.Model([graph.Graph([real], [integer], [op])], [], {}))
    interpreter = runtime.make_interpreter(content, kernels="reference")
    (expected,) = runtime.run(interpreter, {"x": values})
    (detail,) = runtime.outputs(interpreter)
    quantized = quantize(values, detail)
    np.testing.assert_array_equal(quantized, expected, strict=True)
    np.testing.assert_array_equal(quantize(quantized, detail), quantized)  # integers are left as they are
    assert dequantize(quantized, detail)[0] == (np.iinfo(dtype).min - zero_point) * 0.25


def test_integer_inputs_are_not_cast_lossily():
    detail = IoDetail("ids", 0, (1,), (1,), np.dtype(np.int32), 0.0, 0)
    np.testing.assert_array_equal(quantize(np.array([7.0]), detail), np.array([7], np.int32))
    with pytest.raises(DataError, match="'ids' takes int32"):
        quantize(np.array([7.5]), detail)
