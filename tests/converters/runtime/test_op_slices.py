"""Operators cut out of a file compute what they compute inside it."""

from __future__ import annotations

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from converters.runtime.activations import make_reader
from converters.runtime.interpreter import Kernels, make_interpreter
from converters.runtime.op_slices import Slices, cut_ops
from converters.tflite.graph import BuiltinOperator, Op, Tensor, TensorType
from converters.tflite.reader import load
from tests.support.op_models import activation, add_op, bias, file_of, integers, layer_op, weight
from tests.support.pipeline import residual


def cut(content: bytes, feed: dict[str, np.ndarray], kernels: Kernels = "xnnpack") -> Slices:
    return cut_ops(content, load(content), feed, kernels=kernels)


def check_results(content: bytes, feed: dict[str, np.ndarray], slices: Slices, kernels: Kernels) -> None:
    """Every slice, run with its inputs, gives what the same operator gives inside the whole file."""
    model = load(content)
    values = make_reader(content, model, model.graph.ops, kernels="builtin")(feed)
    for piece in slices.slices:
        interpreter = make_interpreter(piece.content, kernels=kernels)
        for detail, array in zip(interpreter.get_input_details(), piece.inputs, strict=True):
            interpreter.set_tensor(detail["index"], array)
        interpreter.invoke()
        outputs = [interpreter.get_tensor(detail["index"]) for detail in interpreter.get_output_details()]
        op = model.graph.ops[piece.op]
        for tensor, found, (shape, dtype) in zip(op.outputs, outputs, piece.outputs, strict=True):
            assert (found.shape, found.dtype) == (shape, dtype)
            np.testing.assert_array_equal(found, values[tensor])


@pytest.mark.parametrize("fixture", ["conv_net_int8", "conv_net_float"])
def test_slices_compute_what_the_operators_do(fixture, request, images):
    content, feed = request.getfixturevalue(fixture), {"image": images[:1]}
    slices = cut(content, feed, "builtin")
    assert [piece.op for piece in slices.slices] == list(range(len(load(content).graph.ops)))
    assert not slices.left_out
    check_results(content, feed, slices, "builtin")  # the very same kernels: equal to the bit


def test_operators_with_two_inputs_and_of_a_dynamic_batch():
    base = residual(batch_size=None)
    feed = {"image": base.samples[0]["image"]}
    slices = cut(base.stock, feed, "builtin")
    assert any(len(piece.inputs) == 2 for piece in slices.slices)
    check_results(base.stock, feed, slices, "builtin")


def padded(amounts: list[list[int]], *, shared: bool) -> bytes:
    """PAD -> CONV_2D; if ``shared`` an ADD reads the padded tensor, too."""
    x = activation("x", (1, 8, 8, 4), 0.1, 0)
    shape = tuple(n + a + b for n, (a, b) in zip(x.shape, amounts, strict=True))
    y, wide = activation("y", (1, 8, 8, 4), 0.1, 0), activation("wide", shape, 0.1, 0)
    kernel = weight("w", "conv", np.ones((4, 3, 3, shape[3])), np.full(4, 0.01))
    values = integers("amounts", [n for pair in amounts for n in pair])
    values.shape = (4, 2)
    kind = schema.BuiltinOptions.PadOptions
    ops = [
        Op(BuiltinOperator.PAD, [x, values], [wide], 2, kind, schema.PadOptionsT()),
        layer_op("conv", wide, kernel, bias("b", np.zeros(4), wide, kernel), y),
    ]
    outputs = [y]
    if shared:
        outputs.append(activation("z", shape, 0.1, 0))
        ops.append(add_op(wide, wide, outputs[1]))
    return file_of(ops, [x], outputs)


@pytest.mark.parametrize(
    ("amounts", "shared", "kernels", "joined"),
    [
        ([[0, 0], [1, 1], [1, 1], [0, 0]], False, "xnnpack", True),  # one operator to the delegate
        ([[0, 0], [1, 1], [1, 1], [0, 0]], False, "builtin", False),
        ([[0, 0], [1, 1], [1, 1], [0, 0]], True, "xnnpack", False),
        ([[0, 0], [1, 1], [1, 1], [0, 4]], False, "xnnpack", False),  # channels are no window's business
    ],
)
def test_padding_stays_with_the_convolution_that_takes_it_in(amounts, shared, kernels, joined):
    content = padded(amounts, shared=shared)
    feed = {"x": np.random.default_rng(0).integers(-128, 128, (1, 8, 8, 4)).astype(np.int8)}
    slices = cut(content, feed, kernels)
    assert slices.joined == ({0: 1} if joined else {})
    assert [piece.with_ops for piece in slices.slices if piece.op == 1] == [(0,) if joined else ()]
    check_results(content, feed, slices, "builtin")


def test_operators_on_constants_stay_with_their_readers():
    x, y = (Tensor(n, (1, 4), TensorType.FLOAT32) for n in "xy")
    half = Tensor("half", (4, 4), TensorType.FLOAT16, np.eye(4, dtype=np.float16).tobytes())
    whole = Tensor("whole", (4, 4), TensorType.FLOAT32)
    dense = layer_op("dense", x, whole, None, y)
    dense.version = 1
    content = file_of([Op(BuiltinOperator.DEQUANTIZE, [half], [whole], 3), dense], [x], [y])
    feed = {"x": np.arange(4, dtype=np.float32)[None]}
    slices = cut(content, feed)
    assert (slices.joined, [(piece.op, piece.with_ops) for piece in slices.slices]) == ({0: 1}, [(1, (0,))])
    assert len(slices.slices[0].inputs) == 1  # not the weights: they must stay constant for the delegate
    check_results(content, feed, slices, "xnnpack")


def test_what_cannot_be_separated_is_named():
    x, y = (activation(n, (1, 4), 0.1, 0) for n in "xy")
    handle = Tensor("handle", (), TensorType.RESOURCE)
    options = schema.VarHandleOptionsT()
    options.container, options.sharedName = "", "v"
    ops = [
        Op(BuiltinOperator.VAR_HANDLE, [], [handle], 1, schema.BuiltinOptions.VarHandleOptions, options),
        add_op(x, x, y),
    ]
    slices = cut(file_of(ops, [x], [y]), {"x": np.ones((1, 4), np.int8)}, "builtin")
    assert slices.left_out == {0: "VAR_HANDLE keeps a state that other operators share"}
    assert [piece.op for piece in slices.slices] == [1]
