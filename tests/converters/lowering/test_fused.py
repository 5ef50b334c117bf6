"""The fused form of single layers."""

from __future__ import annotations

import numpy as np
import pytest

from converters.errors import LoweringError
from converters.layers.im2col import Geometry
from converters.layers.kinds import KINDS
from converters.layers.layer import Layer, Use
from converters.lowering.fused import lower_fused
from converters.lowering.quantized_layer import QuantizedLayer
from converters.points import MultipointWeight, Point
from converters.tflite.graph import Graph, Op, Tensor
from tests.support.op_models import activation, bias, layer_op, weight

ROWS, COLUMNS = 4, 6
SHAPES: dict[str, tuple[int, ...]] = {
    "conv": (ROWS, 1, 2, 3),
    "dense": (ROWS, 6),
    "depthwise": (1, 2, 3, ROWS),
    "transpose_conv": (ROWS, 2, 1, 3),
}


def graph_of(kind: str, *, uses: int = 1, with_bias: bool = True) -> tuple[Graph, Layer]:
    shape = SHAPES[kind]
    channels = ROWS if kind == "depthwise" else shape[-1]
    w = weight("w", kind, np.ones(shape, int), np.full(ROWS, 0.5))
    ops, made = [], []
    for i in range(uses):
        x = activation(f"x{i}", (1, 4, 4, channels) if kind != "dense" else (2, channels), 0.02 * (i + 1), 3)
        y = activation(f"y{i}", (1, 4, 4, ROWS) if kind != "dense" else (2, ROWS), 0.1, 0)
        b = bias(f"b{i}", np.arange(ROWS), x, w) if with_bias else None
        op = layer_op(kind, x, w, b, y, padding="SAME", fused="RELU")
        ops.append(op)
        made.append(Use(op, op, np.zeros(ROWS, np.float32), KINDS[kind].site))
    matrix = KINDS[kind].rows(w.array()).astype(np.float32)
    layer = Layer("layer", KINDS[kind], matrix, channels if kind == "depthwise" else 1, Geometry(), tuple(made))
    return Graph([op.inputs[0] or x for op in ops], [op.outputs[0] for op in ops], ops), layer


def two_points() -> MultipointWeight:
    """4-bit points with ratio 16 in two rows, one point in the others."""
    rng = np.random.default_rng(0)
    counts = np.array([1, 2, 2, 1])
    first, second = (rng.integers(-7, 8, (ROWS, COLUMNS)).astype(np.int8) for _ in range(2))
    second[counts == 1] = 0
    fine = np.array([0.1, 0.01, 0.02, 0.3], np.float32)
    coarse = np.where(counts == 2, fine * np.float32(16), fine)
    return MultipointWeight((Point(first, coarse), Point(second, fine)), counts, 4)


def bias_slot(op: Op) -> Tensor:
    return op.input(len(op.inputs) - 1)


@pytest.mark.parametrize("kind", SHAPES)
@pytest.mark.parametrize("with_bias", [True, False])
def test_merged_rows_replace_the_weight(kind: str, with_bias: bool):
    graph, layer = graph_of(kind, with_bias=with_bias)
    points = two_points()
    biases = np.array([0.5, -1.0, 0.25, 3.0], np.float32)
    before = [(op.code, [t.name for t in op.outputs]) for op in graph.ops]
    lowered = lower_fused(graph, QuantizedLayer(layer, points, (biases,)))
    assert [(op.code, [t.name for t in op.outputs]) for op in graph.ops] == before
    (op,) = graph.ops
    tensor = op.input(1)
    # 16 times the first digit plus the second; a row of one point is that point.
    expected = np.where(
        points.counts[:, None] == 2, 16 * points.points[0].codes + points.points[1].codes, points.points[0].codes
    )
    assert tensor.quantization is not None
    np.testing.assert_array_equal(KINDS[kind].rows(tensor.array()), expected)
    np.testing.assert_array_equal(tensor.quantization.scale, np.array([0.1, 0.01, 0.02, 0.3], np.float32))
    units = 0.02 * tensor.quantization.scale.astype(np.float64)
    np.testing.assert_allclose(bias_slot(op).array() * units, biases, atol=0.51 * units.max())
    assert bias_slot(op).array().dtype == np.int32
    assert op.options.fusedActivationFunction == 1
    assert op.version == (4 if kind == "dense" else 3)
    assert (lowered.layer, lowered.lowering, lowered.outputs) == ("layer", "fused", ("y0",))
    np.testing.assert_array_equal(lowered.weights[0].codes, expected)


def test_a_transposed_convolution_gets_the_version_that_has_a_bias():
    graph, layer = graph_of("transpose_conv", with_bias=False)
    graph.ops[0].version = 2  # what TensorFlow writes for int8 without a bias
    lower_fused(graph, QuantizedLayer(layer, two_points(), (np.ones(ROWS, np.float32),)))
    assert graph.ops[0].version == 3


def test_uses_share_the_weight_and_keep_their_own_bias_units():
    graph, layer = graph_of("conv", uses=2)
    biases = np.array([0.5, -1.0, 0.25, 3.0], np.float32)
    lowered = lower_fused(graph, QuantizedLayer(layer, two_points(), (biases, 2 * biases)))
    first, second = graph.ops
    assert first.input(1) is second.input(1)
    # Twice the bias in units of twice the input scale.
    np.testing.assert_array_equal(first.input(2).array(), second.input(2).array())
    assert first.input(2).array().any()
    assert lowered.outputs == ("y0", "y1")
    assert len(lowered.weights) == 1


def test_points_that_do_not_merge_are_refused():
    points = two_points()
    odd = Point(points.points[0].codes, points.points[0].scale * np.float32(1.01))
    graph, layer = graph_of("conv")
    before = list(graph.ops[0].inputs)
    weights = MultipointWeight((odd, points.points[1]), points.counts, 4)
    message = r"layer 'layer': its 2 points of 4 bits do not merge .* Use lowering='parallel' .* fewer points"
    with pytest.raises(LoweringError, match=message):
        lower_fused(graph, QuantizedLayer(layer, weights, (np.zeros(ROWS, np.float32),)))
    assert graph.ops[0].inputs == before


def test_biases_saturate_instead_of_wrapping():
    graph, layer = graph_of("dense")
    lower_fused(graph, QuantizedLayer(layer, two_points(), (np.array([0, 1e9, -1e9, 0], np.float32),)))
    np.testing.assert_array_equal(graph.ops[0].input(2).array(), [0, 2**31 - 1, -(2**31), 0])
