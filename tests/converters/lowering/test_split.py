"""The split form of single layers and of a classifier whose rows cannot be sorted."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from converters.errors import LoweringError
from converters.layers.layer import Layer, Use
from converters.lowering.build import copy_op
from converters.lowering.ops import with_channels
from converters.lowering.quantized_layer import QuantizedLayer
from converters.lowering.split import Split, can_store_int4, int8_rows, lower_split
from converters.points import MultipointWeight, Point, merge
from converters.runtime.delegation import delegate_coverage
from converters.runtime.interpreter import make_interpreter, run
from converters.tflite.graph import Graph, Model, TensorType
from converters.tflite.reader import load
from converters.tflite.writer import save
from tests.converters.lowering.test_parallel import described, fused_of, single, with_points
from tests.support.pipeline import Rows, convert_once, image_feeds, on_grid, residual, run_raw, validate
from tfmpq.recipe.rules import LayerSettings

RELU6 = 3


def mergeable(layer, counts: list[int]) -> QuantizedLayer:
    """Random points; the second has exactly a sixteenth of the first's scale."""
    points = with_points(layer, counts)
    first = points.weight.points[0]
    rest = tuple(Point(p.codes, first.scale / np.float32(16)) for p in points.weight.points[1:])
    return QuantizedLayer(layer, MultipointWeight((first, *rest), np.array(counts), 4), points.biases)


def test_the_ops_of_a_mixed_layer():
    graph, layer = single("conv", fused="RELU6")
    quantized = mergeable(layer, [2, 2, 2, 1, 1, 1, 1, 1])
    lowered = lower_split(graph, quantized)
    assert described(graph) == [
        ("FULLY_CONNECTED", ("x",), "layer/int8/out"),
        ("FULLY_CONNECTED", ("x",), "layer/int4/out"),
        ("CONCATENATION", ("layer/int8/out", "layer/int4/out"), "y"),
    ]
    high, low, join = graph.ops
    assert [fused_of(op) for op in (high, low, join)] == [RELU6, RELU6, 0]
    assert (high.options.keepNumDims, low.options.keepNumDims, join.options.axis) == (True, True, 3)
    assert (high.version, low.version) == (4, 4)  # what every LiteRT loads
    assert [(op.input(1).type, op.input(1).shape) for op in (high, low)] == [
        (TensorType.INT8, (3, 6)),
        (TensorType.INT4, (5, 6)),
    ]
    merged = merge(quantized.weight)
    assert merged is not None
    np.testing.assert_array_equal(high.input(1).array(), merged.codes[:3])
    np.testing.assert_array_equal(low.input(1).array(), quantized.weight.points[0].codes[3:])
    for piece in (high.outputs[0], low.outputs[0]):  # CONCATENATION wants one quantization
        assert (piece.scale, piece.zero_point) == (graph.outputs[0].scale, graph.outputs[0].zero_point)
    assert lowered.outputs == ("layer/int8/out", "layer/int4/out", "y")
    coverage = delegate_coverage(make_interpreter(save(Model([graph], [], {}))))
    assert (coverage.delegated_ops, coverage.partitions) == (3, 1)


@pytest.mark.parametrize(
    ("counts", "types"),
    [
        ([1] * 8, [TensorType.INT4]),
        ([2] * 8, [TensorType.INT8]),
        ([2] * 7 + [1], [TensorType.INT8]),  # a single INT4 row would be refused by the runtime
        ([2] * 6 + [1] * 2, [TensorType.INT8, TensorType.INT4]),
        ([2] + [1] * 7, [TensorType.INT8, TensorType.INT4]),
    ],
)
def test_pieces(counts: list[int], types: list[int]):
    graph, layer = single("dense")
    lower_split(graph, mergeable(layer, counts))
    dense = [op for op in graph.ops if op.name == "FULLY_CONNECTED"]
    assert [op.input(1).type for op in dense] == types
    assert len(graph.ops) == len(types) + (len(types) > 1)
    assert graph.ops[-1].outputs[0] is graph.outputs[0]
    make_interpreter(save(Model([graph], [], {})), kernels="reference")


def test_what_cannot_be_split():
    refused: list[tuple[Any, dict[str, Any]]] = [
        ("conv", {"kernel": 3}),
        ("conv", {"stride": 2}),
        ("conv", {"groups": 2}),
        ("depthwise", {"kernel": 3}),
        ("transpose_conv", {"kernel": 2}),
        ("dense", {"columns": 5}),  # XNNPACK leaves odd inputs to slow kernels
    ]
    for kind, options in refused:
        graph, layer = single(kind, **options)
        assert not can_store_int4(layer, 8, 4)
        with pytest.raises(LoweringError, match=r"layer 'layer': only 1x1 .* Use lowering='fused'"):
            lower_split(graph, mergeable(layer, [1] * layer.channels))
    graph, layer = single("dense")
    assert [can_store_int4(layer, rows, bits) for rows, bits in ((8, 4), (8, 5), (1, 4))] == [True, False, False]
    with pytest.raises(LoweringError, match="rows with several points must come first"):
        lower_split(graph, mergeable(layer, [1, 2, 1, 1, 1, 1, 1, 1]))
    with pytest.raises(LoweringError, match=r"do not merge into int8 rows\. Use lowering='parallel'"):
        lower_split(graph, with_points(layer, [3, 2, 1, 1, 1, 1, 1, 1]))


def test_int8_rows():
    assert [int8_rows(sum(n > 1 for n in c), len(c)) for c in ([1, 1, 1], [2, 1, 1], [2, 2, 1], [2, 2, 2], [1])] == [
        0,
        1,
        3,
        3,
        1,
    ]


@pytest.mark.parametrize("lowering", ["split", "parallel"])
def test_logits_whose_first_rows_have_the_points_are_in_order_already(lowering: str):
    converted = residual()
    rows = {"classifier": converted.rows("classifier", LayerSettings(4, 2, "radix", ""), np.repeat([2, 1], [4, 6]))}
    emission = converted.emit(rows, lowering)
    assert emission.fallbacks == ()
    names = [op.name for op in load(emission.content).graph.ops]
    assert "GATHER" not in names
    assert names[-2:] == ["CONCATENATION", "SOFTMAX"]
    validate(emission.content, converted.stock, emission.lowered, on_grid(emission.content, image_feeds(2, seed=3)))


@pytest.mark.parametrize("counts", [1 + np.arange(10) % 2, np.array([1, 1, 2, 1, 1, 1, 1, 1, 1, 2])])
def test_logits_are_put_back_in_order(counts: np.ndarray):
    """Softmax ties the classifier's rows to their places: a GATHER behind the two pieces."""
    converted = residual()
    assert Split().restores(converted.layers["classifier"])
    rows = {"classifier": converted.rows("classifier", LayerSettings(4, 2, "radix", ""), counts)}
    emission = converted.emit(rows, "split")
    assert emission.fallbacks == ()
    names = [op.name for op in load(emission.content).graph.ops]
    assert names[-5:] == ["FULLY_CONNECTED", "FULLY_CONNECTED", "CONCATENATION", "GATHER", "SOFTMAX"]
    feeds = on_grid(emission.content, image_feeds(8, seed=3))
    validate(emission.content, converted.stock, emission.lowered, feeds[:2])
    fused = converted.emit(rows, "fused").content
    np.testing.assert_array_equal(run_raw(emission.content, feeds)[0], run_raw(fused, feeds)[0])
    # The same with the rows' biases exchanged is another function: the order matters to the comparison.
    moved = {"classifier": Rows(rows["classifier"].weight, tuple(b[::-1] for b in rows["classifier"].biases))}
    assert (run_raw(converted.emit(moved, "split").content, feeds)[0] != run_raw(fused, feeds)[0]).any()


def test_maps_are_not_put_back_in_order():
    import keras

    keras.utils.set_random_seed(3)
    x = keras.Input((4, 4, 6), name="image")
    y = keras.layers.Conv2D(8, 1, name="head")(x)  # the model's output: its channels stay
    data = [{"image": v} for v in np.random.default_rng(0).normal(size=(8, 1, 4, 4, 6)).astype(np.float32)]
    converted = convert_once(keras.Model(x, y), data)
    rows = {"head": converted.rows("head", LayerSettings(4, 2, "radix", ""), 1 + np.arange(8) % 2)}
    emission = converted.emit(rows, "split")
    (fallback,) = emission.fallbacks
    assert fallback.used == "one int8 op"
    assert fallback.reason.startswith("the channel order must stay: reaches graph output")
    even = {"head": converted.rows("head", LayerSettings(4, 2, "radix", ""), np.ones(8, int))}
    emission = converted.emit(even, "split")
    assert emission.fallbacks == ()
    assert [op.name for op in load(emission.content).graph.ops] == ["FULLY_CONNECTED"]
    interpreter = make_interpreter(emission.content)
    assert run(interpreter, data[0])[0].shape == (1, 4, 4, 8)


def test_shared_layers_share_their_weights():
    graph, layer = single("conv", fused="RELU6")
    first = layer.uses[0].int8_op
    second_out = with_channels("z", graph.outputs[0], layer.channels)
    second = copy_op(first, list(first.inputs), [second_out])
    graph = Graph(graph.inputs, [*graph.outputs, second_out], [first, second])
    uses = (layer.uses[0], Use(second, second, layer.uses[0].bias, layer.site))
    shared = Layer("layer", layer.kind, layer.weight, 1, layer.geometry, uses)
    points = mergeable(layer, [2, 2, 1, 1, 1, 1, 1, 1])
    lowered = lower_split(graph, QuantizedLayer(shared, points.weight, points.biases * 2))
    assert [w.tensor for w in lowered.weights] == ["layer/int8/weight", "layer/int4/weight"]
    assert [t.name for op in graph.ops for t in op.outputs] == list(lowered.outputs)
    assert len(set(lowered.outputs)) == 6
    for a, b in zip(graph.ops[:2], graph.ops[3:5], strict=True):
        assert a.input(1).data is b.input(1).data or a.input(1).data == b.input(1).data
    stored = load(save(Model([graph], [], {}))).graph
    buffers = [op.input(1).name for op in stored.ops if op.name == "FULLY_CONNECTED"]
    assert buffers == ["layer/int8/weight", "layer/int4/weight"] * 2
