from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from hypothesis import given, settings
from hypothesis import strategies as st

from converters.errors import FileFormatError, ValidationError
from converters.reference.integer_ops import run_op
from converters.tflite.graph import BuiltinOperator, Op, Tensor
from tests.support.op_models import (
    KERNELS,
    activation,
    add_op,
    bias,
    concat_op,
    file_of,
    integers,
    layer_op,
    run_kernels,
    weight,
)

ZERO_POINTS = st.sampled_from([-128, -127, -3, 0, 41, 127])
FUSED = st.sampled_from(["NONE", "RELU", "RELU6", "RELU_N1_TO_1"])
PAIRS = st.tuples(st.integers(1, 3), st.integers(1, 3))
# No deadline: the first example of a process loads the interpreter's library.
some = settings(max_examples=100, deadline=None, derandomize=True)


@dataclass
class Differences:
    """How far kernels and reference are apart, over many models."""

    worst: int = 0
    differing: int = 0
    total: int = 0

    def add(self, op: Op, inputs: list[Tensor], feeds: list[np.ndarray]) -> None:
        content = file_of([op], inputs, op.outputs)
        by_tensor = dict(zip(inputs, feeds, strict=True))
        expected = run_op(op, [None if t is None else by_tensor.get(t) for t in op.inputs])
        for kernels in KERNELS:
            for ours, theirs in zip(expected, run_kernels(content, kernels, feeds), strict=True):
                assert ours.shape == theirs.shape
                assert ours.dtype == theirs.dtype
                steps = np.abs(ours.astype(int) - theirs)
                # integer_reference.py says why one step, and never two, can lie between them
                assert steps.max(initial=0) <= 1, f"{kernels}: {steps.max()} steps"
                self.differing += int((steps > 0).sum())
                self.total += steps.size
                self.worst = max(self.worst, int(steps.max(initial=0)))


@dataclass(frozen=True)
class Case:
    """A layer with random integers."""

    op: Op
    source: Tensor
    x: np.ndarray


def make_layer(
    kind: str,
    in_shape: tuple[int, ...],
    weight_shape: tuple[int, ...],
    out_shape: tuple[int, ...],
    *,
    seed: int,
    zero_points: tuple[int, int] = (0, 0),
    with_bias: bool = True,
    int4: bool = False,
    **options: object,
) -> Case:
    """Scales are such that most outputs neither saturate nor vanish, and differ by channel up to fivefold."""
    rng = np.random.default_rng(seed)
    channels = out_shape[-1]
    low, high = (-8, 7) if int4 else (-127, 127)
    codes = rng.integers(low, high, weight_shape, endpoint=True)
    x = rng.integers(-128, 127, in_shape, dtype=np.int8, endpoint=True)
    source = activation("x", in_shape, rng.uniform(0.001, 0.1), zero_points[0])
    output = activation("y", out_shape, float(np.exp(rng.uniform(-5, 0))), zero_points[1])
    spread = 40 / (80 * 0.6 * high * np.sqrt(codes.size / channels))  # output steps per unit of the sum
    scale = spread * output.scale / source.scale * np.exp(rng.uniform(-0.8, 0.8, channels))
    weights = weight("w", kind, codes, scale, int4=int4)
    biases = bias("b", rng.normal(0, 40 / spread, channels), source, weights) if with_bias else None
    return Case(layer_op(kind, source, weights, biases, output, **options), source, x)  # type: ignore[arg-type]


def window_output(size: int, kernel: int, stride: int, dilation: int, padding: str) -> int:
    reach = (kernel - 1) * dilation + 1
    return -(-size // stride) if padding == "SAME" else (size - reach) // stride + 1


@some
@given(
    kind=st.sampled_from(["conv", "depthwise"]),
    spatial=st.tuples(st.integers(7, 12), st.integers(7, 12)),
    kernel=PAIRS,
    stride=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    dilation=st.sampled_from([(1, 1), (2, 2), (1, 3)]),
    padding=st.sampled_from(["SAME", "VALID"]),
    channels=st.integers(1, 9),
    more=st.integers(1, 3),
    batch=st.integers(1, 2),
    zero_points=st.tuples(ZERO_POINTS, ZERO_POINTS),
    fused=FUSED,
    seed=st.integers(0, 999),
)
def test_convolutions(
    kind, spatial, kernel, stride, dilation, padding, channels, more, batch, zero_points, fused, seed
):
    # Always with a bias: without one the kernels refuse a CONV_2D and crash on a DEPTHWISE_CONV_2D.
    sizes = zip(spatial, kernel, stride, dilation, strict=True)
    out = [window_output(*axis, padding) for axis in sizes]
    if kind == "conv":  # `more` groups
        in_channels, out_channels = channels * more, 2 * more
        weight_shape = (out_channels, *kernel, channels)
    else:  # depth multiplier `more`
        in_channels, out_channels = channels, channels * more
        weight_shape = (1, *kernel, out_channels)
    case = make_layer(
        kind, (batch, *spatial, in_channels), weight_shape, (batch, *out, out_channels), seed=seed,
        zero_points=zero_points, stride=stride, dilation=dilation, padding=padding, fused=fused,
    )  # fmt: skip
    Differences().add(case.op, [case.source], [case.x])


@some
@given(
    lead=st.lists(st.integers(1, 4), min_size=1, max_size=3),
    width=st.integers(1, 70),
    channels=st.integers(2, 9),
    int4=st.booleans(),
    keep_dims=st.booleans(),
    with_bias=st.booleans(),
    zero_points=st.tuples(ZERO_POINTS, ZERO_POINTS),
    fused=FUSED,
    seed=st.integers(0, 999),
)
def test_dense(lead, width, channels, int4, keep_dims, with_bias, zero_points, fused, seed):
    out_shape = (*lead, channels) if keep_dims else (int(np.prod(lead)), channels)
    case = make_layer(
        "dense", (*lead, width), (channels, width), out_shape, seed=seed, zero_points=zero_points,
        with_bias=with_bias, int4=int4, fused=fused, keep_dims=keep_dims,
    )  # fmt: skip
    Differences().add(case.op, [case.source], [case.x])


def test_dense_flattens_its_input():
    case = make_layer("dense", (2, 3, 5, 4), (6, 60), (2, 6), seed=1)
    Differences().add(case.op, [case.source], [case.x])


@some
@given(
    spatial=st.tuples(st.integers(1, 6), st.integers(1, 6)),
    kernel=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    stride=PAIRS,
    padding=st.sampled_from(["SAME", "VALID"]),
    channels=st.tuples(st.integers(1, 5), st.integers(1, 5)),
    extra=st.integers(0, 2),
    batch=st.integers(1, 2),
    with_bias=st.booleans(),
    zero_points=st.tuples(ZERO_POINTS, ZERO_POINTS),
    fused=FUSED,
    seed=st.integers(0, 999),
)
def test_transposed_convolutions(
    spatial, kernel, stride, padding, channels, extra, batch, with_bias, zero_points, fused, seed
):
    # Every output size whose convolution gives the input's size is legal: `extra` walks through them.
    def output(size: int, kernel: int, stride: int) -> int:
        smallest = (size - 1) * stride + (1 if padding == "SAME" else kernel)
        return smallest + min(extra, stride - 1)

    out = [output(*axis) for axis in zip(spatial, kernel, stride, strict=True)]
    in_channels, out_channels = channels
    case = make_layer(
        "transpose_conv", (batch, *spatial, in_channels), (out_channels, *kernel, in_channels),
        (batch, *out, out_channels), seed=seed, zero_points=zero_points, with_bias=with_bias,
        stride=stride, padding=padding, fused=fused,
    )  # fmt: skip
    Differences().add(case.op, [case.source], [case.x])


@some
@given(
    shapes=st.sampled_from([((2, 5, 6), (2, 5, 6)), ((1, 4, 3, 5), (5,)), ((1, 1, 1, 5), (1, 4, 3, 5))]),
    ratios=st.tuples(st.floats(0.01, 4), st.floats(0.01, 4)),
    zero_points=st.tuples(ZERO_POINTS, ZERO_POINTS, ZERO_POINTS),
    fused=FUSED,
    seed=st.integers(0, 999),
)
def test_additions(shapes, ratios, zero_points, fused, seed):
    rng = np.random.default_rng(seed)
    scale = rng.uniform(0.01, 0.3)
    first, second = (activation(f"x{i}", shapes[i], scale * ratios[i], zero_points[i]) for i in (0, 1))
    output = activation("y", np.broadcast_shapes(*shapes), scale, zero_points[2])
    feeds = [rng.integers(-128, 127, shape, dtype=np.int8, endpoint=True) for shape in shapes]
    Differences().add(add_op(first, second, output, fused=fused), [first, second], feeds)


def test_kernels_rarely_differ_from_the_reference():
    # The one step is for values next to a tie: a reference that rounded wrongly would pass it and fail here.
    differences = Differences()
    for seed in range(4):
        case = make_layer("conv", (1, 16, 16, 32), (32, 3, 3, 32), (1, 16, 16, 32), seed=seed, padding="SAME")
        differences.add(case.op, [case.source], [case.x])
    assert differences.differing / differences.total < 0.005  # 0.0002 when written


ANY = np.random.default_rng(0).integers(-128, 127, (1, 4, 5, 6), dtype=np.int8, endpoint=True)


def test_concatenation():
    parts = [activation(name, ANY.shape, 0.02, -7) for name in "abc"]
    op = concat_op(parts, activation("y", (1, 4, 5, 18), 0.02, -7), axis=-1)
    differences = Differences()
    differences.add(op, parts, [ANY, ANY[:, ::-1], ANY[:, :, ::-1]])
    assert differences.worst == 0


def test_concatenation_with_rescaling():
    parts = [activation("a", ANY.shape, 0.02, -7), activation("b", ANY.shape, 0.01, 3)]
    output = activation("y", (1, 4, 5, 12), 0.02, -7)
    op = concat_op(parts, output, axis=3)
    (joined,) = run_op(op, [ANY, ANY])
    np.testing.assert_array_equal(joined[..., :6], ANY)
    # (q - 3) / 2 - 7 rounded, ties to even
    np.testing.assert_array_equal(joined[..., 6:], np.clip(np.rint((ANY - 3.0) / 2) - 7, -128, 127))
    # No int8 kernel does it: the scales must be equal in a file.
    with pytest.raises(FileFormatError, match="scale"):
        run_kernels(file_of([op], parts, [output]), "reference", [ANY, ANY])


def strided(begin: list[int], end: list[int], strides: list[int], output: Tensor, source: Tensor, **masks: int) -> Op:
    options = schema.StridedSliceOptionsT()
    for name, mask in masks.items():
        setattr(options, name, mask)
    inputs: list[Tensor | None] = [source, integers("b", begin), integers("e", end), integers("s", strides)]
    kind = schema.BuiltinOptions.StridedSliceOptions
    return Op(BuiltinOperator.STRIDED_SLICE, inputs, [output], 2, kind, options)


def cutting_op(name: str, source: Tensor) -> Op:
    def part(*shape: int) -> Tensor:
        return activation(f"y{shape}", shape, source.scale, source.zero_point)

    if name == "slice":
        inputs: list[Tensor | None] = [source, integers("begin", [0, 1, 0, 2]), integers("size", [1, 2, -1, 3])]
        kind = schema.BuiltinOptions.SliceOptions
        return Op(BuiltinOperator.SLICE, inputs, [part(1, 2, 5, 3)], 2, kind, schema.SliceOptionsT())
    if name == "strided_slice":
        return strided([0, 0, 1, 3], [0, -1, 5, 9], [1, 2, 2, 1], part(1, 2, 2, 3), source, endMask=1, beginMask=2)
    if name == "shrink":
        return strided([0, 0, 2, 0], [1, 4, 3, 6], [1, 1, 1, 1], part(1, 4, 6), source, shrinkAxisMask=4)
    if name == "gather":
        options = schema.GatherOptionsT()
        options.axis = 3
        kind = schema.BuiltinOptions.GatherOptions
        rows = integers("rows", [3, 0, 5, 1])
        return Op(BuiltinOperator.GATHER, [source, rows], [part(1, 4, 5, 4)], 1, kind, options)
    options = schema.SplitOptionsT()
    options.numSplits = 3
    parts = [activation(f"y{i}", (1, 4, 5, 2), source.scale, source.zero_point) for i in range(3)]
    kind = schema.BuiltinOptions.SplitOptions
    return Op(BuiltinOperator.SPLIT, [integers("axis", [3]), source], parts, 2, kind, options)


@pytest.mark.parametrize("name", ["slice", "strided_slice", "shrink", "gather", "split"])
def test_cutting(name):
    source = activation("x", ANY.shape, 0.02, -7)
    differences = Differences()
    differences.add(cutting_op(name, source), [source], [ANY])
    assert differences.worst == 0


def test_a_bias_in_other_units_shows():
    case = make_layer("conv", (1, 5, 5, 3), (4, 3, 3, 3), (1, 3, 3, 4), seed=0)
    biases = case.op.input(2)
    assert biases.quantization is not None
    biases.quantization.scale[1] *= 2  # the kernels do not look at it
    (ours,) = run_op(case.op, [case.x, None, None])
    theirs = run_kernels(file_of([case.op], [case.source], case.op.outputs), "xnnpack", [case.x])[0]
    steps = np.abs(ours.astype(int) - theirs).max((0, 1, 2))
    assert steps[1] > 1
    assert steps[[0, 2, 3]].max() <= 1


def test_overflow_is_refused():
    case = make_layer("dense", (1, 8), (2, 8), (1, 2), seed=0)
    biases = case.op.input(2)
    biases.data = np.full(2, 2**31 - 1, np.int32).tobytes()
    with pytest.raises(ValidationError, match=r"FULLY_CONNECTED reaches .* int32"):
        run_op(case.op, [np.abs(case.x) * np.sign(case.op.input(1).array()[0]), None, None])


def test_what_has_no_reference_is_said():
    case = make_layer("dense", (1, 8), (2, 8), (1, 2), seed=0)
    case.op.options.fusedActivationFunction = 4  # TANH
    with pytest.raises(NotImplementedError, match="fused activation 4"):
        run_op(case.op, [case.x, None, None])
    tanh = Op(BuiltinOperator.TANH, [case.source], case.op.outputs)
    with pytest.raises(NotImplementedError, match="TANH has no integer reference"):
        run_op(tanh, [case.x])
    float_add = add_op(Tensor("a", (1,), 0), Tensor("b", (1,), 0), Tensor("y", (1,), 0))
    with pytest.raises(NotImplementedError, match="ADD has an integer reference for quantized int8 tensors only"):
        run_op(float_add, [np.ones(1, np.float32), np.ones(1, np.float32)])
