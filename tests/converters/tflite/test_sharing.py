"""Equal tables, names and shapes are written once, and every reader finds what was there."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from converters.tflite.graph import Graph, Model, Op, Tensor, TensorType
from converters.tflite.new_ops import make_op
from converters.tflite.reader import load
from converters.tflite.writer import save
from tests.support.op_models import KERNELS, run_kernels


def unpacked(content: bytes) -> Any:
    """All of a file as plain values, by the schema's own reader."""

    def plain(value: Any) -> Any:
        if isinstance(value, np.ndarray):
            return value.tolist()
        if isinstance(value, list):
            return [plain(item) for item in value]
        return {k: plain(v) for k, v in vars(value).items()} if hasattr(value, "__dict__") else value

    return plain(schema.ModelT.InitFromPackedBuf(content, 0))


def float_chain(length: int) -> Model:
    """Negations of one float row after each other, all under one name."""
    tensors = [Tensor("row", (1, 16), TensorType.FLOAT32) for _ in range(length + 1)]
    ops: list[Op] = []
    for source, result in itertools.pairwise(tensors):
        ops.append(make_op(schema.BuiltinOperator.NEG, [source], [result], 1, "NegOptions"))
    return Model([Graph(tensors[:1], tensors[-1:], ops)], [], {})


@pytest.mark.parametrize("network", ["conv_net_float", "conv_net_int8"])
def test_readers_find_the_same_in_fewer_bytes(network: str, request: pytest.FixtureRequest):
    model = load(request.getfixturevalue(network))
    whole, shared = save(model, tables=False), save(model)
    assert len(shared) < len(whole)
    assert unpacked(shared) == unpacked(whole)
    assert save(load(shared)) == shared


def test_tensors_that_are_alike_are_one_table():
    """A tensor without scales takes a table of 24 bytes, beside its offset; an operator takes its own in any case."""
    sizes = {tables: len(save(float_chain(101), tables=tables)) - len(save(float_chain(1), tables=tables))
             for tables in (True, False)}  # fmt: skip
    assert sizes[False] - sizes[True] >= 100 * 20
    content = save(float_chain(101))
    model = load(content)
    assert len(list(model.graph.tensors())) == 102
    for kernels in KERNELS:
        (found,) = run_kernels(content, kernels, [np.ones((1, 16), np.float32)])
        np.testing.assert_array_equal(found, -np.ones((1, 16), np.float32))


def test_scales_of_activations_do_not_change_the_size():
    """Budgets in bytes are met before ranges are known: what calibration finds must not change the size."""
    sizes = set()
    for scales in ((0.5, 0.5), (0.5, 0.25)):
        model = float_chain(1)
        for tensor, scale in zip(model.graph.tensors(), scales, strict=True):
            raw: Any = schema.TensorT()
            scaling: Any = schema.QuantizationParametersT()
            scaling.scale, scaling.zeroPoint = np.array([scale], np.float32), np.array([0], np.int64)
            raw.quantization = scaling
            tensor.raw = raw
        sizes.add(len(save(model)))
    assert len(sizes) == 1


def test_numbers_of_other_types_are_other_numbers():
    """An axis of 1 and a beta of 1.0 are fields of the same size in the same place."""
    tensors = [Tensor(name, (1, width), TensorType.FLOAT32) for name, width in (("a", 4), ("b", 4), ("c", 8), ("d", 8))]
    concatenation = make_op(schema.BuiltinOperator.CONCATENATION, tensors[:2], [tensors[2]], 1, "ConcatenationOptions")
    softmax = make_op(schema.BuiltinOperator.SOFTMAX, [tensors[2]], [tensors[3]], 1, "SoftmaxOptions")
    concatenation.options.axis, softmax.options.beta = 1, 1.0
    model = load(save(Model([Graph(tensors[:2], tensors[3:], [concatenation, softmax])], [], {})))
    found = {op.name: op.options for op in model.graph.ops}
    assert found["CONCATENATION"].axis == 1
    assert found["SOFTMAX"].beta == 1.0
