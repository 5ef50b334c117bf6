"""The parallel form of single layers: which ops, tensors and ranges are written."""

from __future__ import annotations

import numpy as np
import pytest

from converters.errors import LoweringError
from converters.layers.im2col import Geometry
from converters.layers.kinds import KINDS
from converters.layers.layer import Layer, Use
from converters.lowering.build import bias_codes
from converters.lowering.form import Storage
from converters.lowering.parallel import lower_parallel
from converters.lowering.quantized_layer import QuantizedLayer
from converters.lowering.ranges import PartialKey
from converters.lowering.result import LoweredLayer
from converters.lowering.split import can_store_int4
from converters.points import MultipointWeight, Point
from converters.reference.integer_ops import run_op
from converters.runtime.delegation import delegate_coverage
from converters.runtime.interpreter import make_interpreter
from converters.tflite.graph import Graph, Model, Op, Tensor, TensorType
from converters.tflite.writer import save
from tests.support.op_models import KERNELS, activation, bias, layer_op, run_kernels, weight

CIN, ROWS = 6, 8
SPAN = (-2.0, 1.0)


def full_width(layer: Layer) -> str | None:
    return layer.full_width


def single(
    kind: str, *, kernel: int = 1, stride: int = 1, fused: str = "NONE", columns: int = CIN, multiplier: int = 1,
    groups: int = 1, output: tuple[float, int] = (0.05, -10),
) -> tuple[Graph, Layer]:  # fmt: skip
    """A graph of one int8 layer."""
    rng = np.random.default_rng(0)
    channels = columns * multiplier if kind == "depthwise" else ROWS
    shape = {
        "dense": (channels, columns),
        "depthwise": (1, kernel, kernel, channels),
    }.get(kind, (channels, kernel, kernel, columns // groups))
    size = 6
    x = activation("x", (3, columns) if kind == "dense" else (1, size, size, columns), 0.02, 3)
    out = size * stride if kind == "transpose_conv" else -(-size // stride)
    y = activation("y", (3, channels) if kind == "dense" else (1, out, out, channels), *output)
    w = weight("w", kind, rng.integers(-127, 128, shape), np.full(channels, 0.01))
    b = bias("b", np.zeros(channels, int), x, w)
    op = layer_op(kind, x, w, b, y, stride=(stride, stride), padding="SAME", fused=fused)
    geometry = Geometry() if kind == "dense" else Geometry((kernel, kernel), (stride, stride), (1, 1), "SAME")
    count = columns if kind == "depthwise" else groups
    matrix = KINDS[kind].rows(w.array()).astype(np.float32)
    layer = Layer(
        "layer", KINDS[kind], matrix, count, geometry, (Use(op, op, np.zeros(channels, np.float32), KINDS[kind].site),)
    )
    return Graph([x], [y], [op]), layer


def with_points(layer: Layer, counts: list[int], bits: int = 4) -> QuantizedLayer:
    """Random codes; scales differ by row, each point 1/16 of the one before."""
    rng = np.random.default_rng(1)
    points, array = [], np.array(counts)
    for i in range(max(counts)):
        codes = rng.integers(-7, 8, layer.weight.shape).astype(np.int8)
        codes[array <= i] = 0
        points.append(Point(codes, (rng.uniform(0.05, 0.1, len(array)) / 16**i).astype(np.float32)))
    biases = (rng.normal(size=len(array)).astype(np.float32),)
    return QuantizedLayer(layer, MultipointWeight(tuple(points), array, bits), biases)


def ranges(counts: list[int], span: tuple[float, float] = SPAN) -> dict[PartialKey, tuple[float, float]]:
    """The same span for every partial, 1/16 for every further point."""
    return {
        PartialKey("layer", 0, n, p): (span[0] / 16**p, span[1] / 16**p) for n in set(counts) - {1} for p in range(n)
    }


def lower(graph: Graph, layer: Layer, counts: list[int], **options) -> LoweredLayer:
    return lower_parallel(graph, with_points(layer, counts), ranges(counts), **options)


def described(graph: Graph) -> list[tuple[str, tuple[str, ...], str]]:
    """(operator, activations it reads, what it writes)."""
    return [
        (op.name, tuple(t.name for t in op.inputs if t is not None and t.data is None), op.outputs[0].name)
        for op in graph.ops
    ]


def fused_of(op: Op) -> int:
    return getattr(op.options, "fusedActivationFunction", 0)


def weights(graph: Graph) -> list[Tensor]:
    return [op.input(1) for op in graph.ops if op.name not in ("ADD", "CONCATENATION", "SLICE")]


RELU6 = 3


def test_the_ops_of_a_mixed_layer():
    graph, layer = single("conv", kernel=3, stride=2, fused="RELU6")
    counts = [3, 3, 2, 2, 2, 1, 1, 1]
    lowered = lower(graph, layer, counts)
    p3, p2, p1 = (f"layer/points{n}" for n in (3, 2, 1))
    assert described(graph) == [
        ("CONV_2D", ("x",), f"{p3}/point0"),
        ("CONV_2D", ("x",), f"{p3}/point1"),
        ("CONV_2D", ("x",), f"{p3}/point2"),
        ("ADD", (f"{p3}/point1", f"{p3}/point2"), f"{p3}/sum1"),  # small ones first
        ("ADD", (f"{p3}/point0", f"{p3}/sum1"), f"{p3}/out"),
        ("CONV_2D", ("x",), f"{p2}/point0"),
        ("CONV_2D", ("x",), f"{p2}/point1"),
        ("ADD", (f"{p2}/point0", f"{p2}/point1"), f"{p2}/out"),
        ("CONV_2D", ("x",), f"{p1}/out"),
        ("CONCATENATION", (f"{p3}/out", f"{p2}/out", f"{p1}/out"), "y"),
    ]
    # The activation is where a whole sum is: never on a part of one.
    with_activation = [op.outputs[0].name for op in graph.ops if fused_of(op) == RELU6]
    assert with_activation == [f"{p3}/out", f"{p2}/out", f"{p1}/out"]
    assert all(fused_of(op) in (0, RELU6) for op in graph.ops)
    assert graph.ops[-1].options.axis == 3
    assert all(op.options.strideH == 2 for op in graph.ops if op.name == "CONV_2D")
    # Pieces of the result have its quantization, which CONCATENATION asks for.
    pieces = [t for t in graph.ops[-1].inputs if t is not None]
    assert {(t.scale, t.zero_point) for t in pieces} == {(graph.outputs[0].scale, -10)}
    assert lowered.outputs == tuple(op.outputs[0].name for op in graph.ops)
    assert [len(w.codes) for w in lowered.weights] == [2, 2, 2, 3, 3, 3]
    # The bias goes with the first point.
    biases = [op.input(2).array() for op in graph.ops if op.name == "CONV_2D"]
    assert [bool(b.any()) for b in biases] == [True, False, False, True, False, True]


def test_one_segment_needs_no_concatenation():
    graph, layer = single("conv", kernel=3)
    lower(graph, layer, [2] * ROWS)
    assert [op.name for op in graph.ops] == ["CONV_2D", "CONV_2D", "ADD"]
    assert graph.ops[-1].outputs[0] is graph.outputs[0]
    graph, layer = single("conv", kernel=3, fused="RELU")
    lower(graph, layer, [1] * ROWS)
    assert [(op.name, fused_of(op)) for op in graph.ops] == [("CONV_2D", 1)]


def test_depthwise_segments_read_their_slice_of_the_input():
    graph, layer = single("depthwise", kernel=3)
    lower(graph, layer, [2, 2, 1, 1, 1, 1])
    slices = [op for op in graph.ops if op.name == "SLICE"]
    assert [(op.input(1).array().tolist(), op.input(2).array().tolist()) for op in slices] == [
        ([0, 0, 0, 0], [-1, -1, -1, 2]),
        ([0, 0, 0, 2], [-1, -1, -1, 4]),
    ]
    assert [op.outputs[0].shape for op in slices] == [(1, 6, 6, 2), (1, 6, 6, 4)]
    assert [w.shape for w in weights(graph)] == [(1, 3, 3, 2), (1, 3, 3, 2), (1, 3, 3, 4)]
    graph, layer = single("depthwise", kernel=3)
    lower(graph, layer, [2] * CIN)
    assert "SLICE" not in [op.name for op in graph.ops]


def test_transposed_convolutions_say_how_wide_each_part_is():
    graph, layer = single("transpose_conv", kernel=3, stride=2)
    graph.ops[0].version = 2  # stock without bias
    lower(graph, layer, [2, 2, 2, 1, 1, 1, 1, 1])
    parts = [op for op in graph.ops if op.name == "TRANSPOSE_CONV"]
    assert [op.input(0).array().tolist() for op in parts] == [[1, 12, 12, 3], [1, 12, 12, 3], [1, 12, 12, 5]]
    assert [op.version for op in parts] == [3, 3, 3]  # the version that reads a bias


# ---------------------------------------------------------------- storage


@pytest.mark.parametrize(
    ("kind", "options", "fast", "compact"),
    [
        ("conv", {}, "FULLY_CONNECTED", "FULLY_CONNECTED"),
        ("dense", {}, "FULLY_CONNECTED", "FULLY_CONNECTED"),
        ("conv", {"kernel": 3}, None, "CONV_2D"),  # no fast INT4 kernel
        ("conv", {"stride": 2}, None, "CONV_2D"),  # a dense layer cannot skip positions
        ("conv", {"columns": 5}, None, "CONV_2D"),  # XNNPACK takes pairs of inputs
        ("dense", {"columns": 5}, None, "FULLY_CONNECTED"),
        ("depthwise", {"kernel": 3}, None, "DEPTHWISE_CONV_2D"),
        ("depthwise", {"kernel": 3, "multiplier": 3, "columns": 5}, None, "DEPTHWISE_CONV_2D"),
        ("transpose_conv", {}, None, None),  # no INT4 kernel
        ("conv", {"groups": 2}, None, "CONV_2D"),
    ],
)
def test_int4_where_it_runs_fast_or_in_the_compact_form_where_it_runs(
    kind: str, options: dict, fast: str | None, compact: str | None
):
    stored: dict[Storage, str | None] = {"auto": fast, "int4": compact, "int8": None}
    for storage, expected in stored.items():
        graph, layer = single(kind, **options)
        version = graph.ops[0].version
        lower(graph, layer, [1] * layer.channels, storage=storage)
        (op,) = graph.ops
        size = layer.weight.size
        assert op.input(1).type == (TensorType.INT4 if expected else TensorType.INT8)
        assert len(op.input(1).data or b"") == ((size + 1) // 2 if expected else size)
        if expected == "FULLY_CONNECTED":
            assert (op.name, op.version) == ("FULLY_CONNECTED", 4)
            assert op.input(1).shape == layer.weight.shape
            assert op.options.keepNumDims == (kind == "conv")
        elif expected:
            assert (op.name, op.version) == (expected, version)  # reference kernels know no newer DEPTHWISE_CONV_2D
        assert_runs_everywhere(graph)
    assert can_store_int4(layer, 2, 4) == (fast is not None)
    assert not can_store_int4(layer, 1, 4)
    assert not can_store_int4(layer, 2, 5)


def assert_runs_everywhere(graph: Graph) -> None:
    """Every kernel set computes what the integers say, within the step by which kernels may round differently."""
    x = np.random.default_rng(5).integers(-128, 128, graph.inputs[0].shape).astype(np.int8)
    (op,) = graph.ops
    (expected,) = run_op(op, [x if t is graph.inputs[0] else None for t in op.inputs])
    for kernels in KERNELS:
        (found,) = run_kernels(save(Model([graph], [], {})), kernels, [x])
        assert np.abs(found.astype(int) - expected).max() <= 1
    assert expected.std() > 10


def test_a_single_row_is_no_dense_int4_op():
    counts = [2, 1, 1, 1, 1, 1, 1, 1]
    graph, layer = single("conv")
    lower(graph, layer, counts)
    types = {op.outputs[0].name: (op.name, op.input(1).type) for op in graph.ops if op.name != "ADD"}
    assert types["layer/points2/point0"] == types["layer/points2/point1"] == ("CONV_2D", TensorType.INT8)
    assert types["layer/points1/out"] == ("FULLY_CONNECTED", TensorType.INT4)
    # In the compact form convolutions have a kernel for it; XNNPACK in TensorFlow 2.21 refuses such a dense layer.
    kinds: list[tuple[str, int]] = [("conv", TensorType.INT4), ("dense", TensorType.INT8)]
    for kind, expected in kinds:
        graph, layer = single(kind)
        lower(graph, layer, counts, storage="int4")
        assert graph.ops[0].input(1).type == graph.ops[1].input(1).type == expected


def test_both_storages_hold_the_same_integers():
    counts = [2, 2, 2, 1, 1, 1, 1, 1]
    files = []
    for storage in ("int4", "int8"):
        graph, layer = single("conv", fused="RELU")
        lower(graph, layer, counts, storage=storage)
        files.append(save(Model([graph], [], {})))
    x = np.random.default_rng(2).integers(-128, 128, (1, 6, 6, CIN)).astype(np.int8)
    outputs = []
    for content in files:
        interpreter = make_interpreter(content)
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], x)
        interpreter.invoke()
        outputs.append(interpreter.get_tensor(interpreter.get_output_details()[0]["index"]))
    np.testing.assert_array_equal(*outputs)
    assert outputs[0].std() > 10


# ---------------------------------------------------------------- biases


def test_points_that_merge_share_out_the_bias_of_the_merged_row():
    graph, layer = single("conv", kernel=3)
    counts = np.array([3, 3, 3, 2, 2, 2, 1, 1])
    rng = np.random.default_rng(6)
    scale = rng.uniform(0.05, 0.1, 8).astype(np.float32)
    points = []
    for i in range(3):  # two bits a digit
        codes = rng.integers(-1, 2, layer.weight.shape).astype(np.int8)
        codes[counts <= i] = 0
        points.append(Point(codes, scale / np.float32(4**i)))
    bias = rng.normal(size=8).astype(np.float32)
    quantized = QuantizedLayer(layer, MultipointWeight(tuple(points), counts, 2), (bias,))
    lower_parallel(graph, quantized, ranges([3, 2]))
    found = {op.outputs[0].name: op.input(2).array() for op in graph.ops if op.name == "CONV_2D"}
    merged = bias_codes(bias, 0.02, scale / np.float32(4.0) ** (counts - 1))  # what lower_fused writes
    three = [found[f"layer/points3/point{p}"] for p in range(3)]
    two = [found[f"layer/points2/point{p}"] for p in range(2)]
    np.testing.assert_array_equal(16 * three[0] + 4 * three[1] + three[2], merged[:3])
    np.testing.assert_array_equal(4 * two[0] + two[1], merged[3:6])
    np.testing.assert_array_equal(found["layer/points1/out"], merged[6:])
    assert np.abs(three[2]).max() <= 8  # the last one takes less than a step of the first
    assert three[2].any()
    assert not three[1].any()


# ---------------------------------------------------------------- ranges of partial outputs


def test_partial_outputs_have_the_calibrated_ranges():
    graph, layer = single("conv", kernel=3, output=(0.0125, 30))
    counts = [3] * ROWS
    lower_parallel(graph, with_points(layer, counts), ranges(counts))
    made = {op.outputs[0].name.rpartition("/")[2]: op.outputs[0] for op in graph.ops}
    for name, part, margin in (("point0", 1, 1), ("point1", 16, 1.25), ("point2", 256, 1.25)):
        low, high = SPAN[0] / part * margin, SPAN[1] / part * margin
        tensor = made[name]
        assert tensor.scale == pytest.approx((high - low) / 255, rel=1e-6)
        # Zero is an integer of it, and both ends are within half a step of what it holds.
        for end, limit in ((low, -128), (high, 127)):
            assert (limit - tensor.zero_point) * tensor.scale == pytest.approx(end, abs=0.51 * tensor.scale)
    # A sum of small points holds what its parts can add up to.
    assert made["sum1"].scale == pytest.approx((made["point1"].scale + made["point2"].scale), rel=1e-6)


@pytest.mark.parametrize(
    ("fused", "low", "high"),
    [
        ("NONE", -118 * 0.05, 137 * 0.05),
        ("RELU", 0.0, 137 * 0.05),
        ("RELU6", 0.0, 6.0),
        ("RELU_N1_TO_1", -1.0, 1.0),
    ],
)
def test_the_first_point_holds_only_what_the_output_can_show(fused: str, low: float, high: float):
    graph, layer = single("conv", kernel=3, fused=fused, output=(0.05, -10))
    counts = [2] * ROWS
    first, second = PartialKey("layer", 0, 2, 0), PartialKey("layer", 0, 2, 1)
    lower_parallel(graph, with_points(layer, counts), {first: (-50.0, 40.0), second: (-0.5, 0.25)})
    tensor = graph.ops[0].outputs[0]
    # Beyond these the result saturates whatever the second point adds.
    low, high = low - 0.25, high + 0.5
    assert tensor.scale == pytest.approx((high - low) / 255, rel=1e-6)


def test_a_point_that_calibration_never_saw_act_does_not_break_the_file():
    graph, layer = single("conv", kernel=3)
    counts = [2] * ROWS
    keys = ranges(counts)
    keys[PartialKey("layer", 0, 2, 1)] = (0.0, 0.0)
    lower_parallel(graph, with_points(layer, counts), keys)
    # A step of zero, or next to it, is a multiplier XNNPACK refuses.
    coverage = delegate_coverage(make_interpreter(save(Model([graph], [], {}))))
    assert coverage.left == ()
    assert graph.ops[1].outputs[0].scale == pytest.approx(0.05 / 256, rel=1e-6)


# ---------------------------------------------------------------- full width, refusals


def test_full_width_keeps_every_row_in_its_place():
    graph, layer = single("conv", kernel=3, groups=2)
    quantized = with_points(layer, [1, 2, 1, 2, 1, 2, 1, 2])
    # As the points are assembled: scale 1 in rows without a second point, which is far beyond the output's range.
    lone = quantized.weight.counts == 1
    quantized.weight.points[1].scale[lone] = 1.0
    lowered = lower_parallel(graph, quantized, ranges([2]), full_width=True)
    assert [op.name for op in graph.ops] == ["CONV_2D", "CONV_2D", "ADD"]
    first, second = lowered.weights
    np.testing.assert_array_equal(first.codes, quantized.weight.points[0].codes)
    np.testing.assert_array_equal(second.codes, quantized.weight.points[1].codes)
    assert not second.codes[lone].any()
    # Zeros at any scale are zeros; at this one the kernels' multipliers stay in range.
    assert second.scale.max() == quantized.weight.points[1].scale[~lone].max()
    assert delegate_coverage(make_interpreter(save(Model([graph], [], {})))).left == ()


def test_a_gather_puts_rows_back_in_order():
    graph, layer = single("conv", kernel=3)
    counts = [2, 2, 1, 1, 1, 1, 1, 1]
    restore = np.array([2, 0, 3, 1, 4, 7, 6, 5])
    lowered = lower_parallel(graph, with_points(layer, counts), ranges(counts), storage="int4", restore=restore)
    *_, join, back = graph.ops
    assert (join.name, join.outputs[0].name) == ("CONCATENATION", "layer/ordered")
    assert (back.name, back.options.axis, back.input(1).array().tolist()) == ("GATHER", 3, restore.tolist())
    assert back.inputs[0] is join.outputs[0]
    assert back.outputs == graph.outputs
    assert lowered.outputs[-2:] == ("layer/ordered", "y")


def test_unsorted_rows_are_refused():
    graph, layer = single("conv")
    with pytest.raises(LoweringError, match=r"layer 'layer': rows with more points must come first"):
        lower(graph, layer, [1, 2, 1, 1, 1, 1, 1, 1])


def test_which_layers_cannot_be_cut():
    assert full_width(single("conv", groups=2)[1]) == "grouped convolution"
    assert full_width(single("depthwise", multiplier=2)[1]) == "depth multiplier above 1"
    graph, layer = single("transpose_conv")
    assert full_width(layer) is None
    graph.ops[0].input(0).data = None
    assert full_width(layer) == "output shape computed at run time"
    for kind in ("conv", "depthwise", "dense"):
        assert full_width(single(kind)[1]) is None


def test_uses_share_integers_and_have_their_own_biases():
    graph, layer = single("conv", kernel=3)
    first = layer.uses[0]
    other = activation("x2", (1, 6, 6, CIN), 0.04, 0)
    result = activation("y2", (1, 6, 6, ROWS), 0.1, 0)
    op = layer_op("conv", other, first.int8_op.input(1), first.int8_op.input(2), result, padding="SAME")
    graph.ops.append(op)
    second = Use(op, op, first.bias, first.site)
    layer = Layer("layer", KINDS["conv"], layer.weight, 1, layer.geometry, (first, second))
    counts = [2, 2, 1, 1, 1, 1, 1, 1]
    one = with_points(layer, counts)
    quantized = QuantizedLayer(layer, one.weight, (one.biases[0], one.biases[0] * 3))
    keys = ranges(counts) | {PartialKey("layer", 1, 2, p): SPAN for p in range(2)}
    lowered = lower_parallel(graph, quantized, keys)
    assert len(lowered.weights) == 3  # two points and the rest, written once
    assert len(set(lowered.outputs)) == len(lowered.outputs) == 10
    names = {op.outputs[0].name: op for op in graph.ops}
    a, b = names["layer/points1/out"], names["layer#1/points1/out"]
    assert a.input(1).data == b.input(1).data
    real = [p.input(2).array() * p.input(2).quantization.scale for p in (a, b)]  # type: ignore[union-attr]
    # int32 steps of input scale times weight scale: below 0.004.
    np.testing.assert_allclose(real[0], quantized.biases[0][2:], atol=0.004)
    np.testing.assert_allclose(real[1], quantized.biases[1][2:], atol=0.004)
