from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from converters.reference.dynamic_comparison import compare_dynamic
from converters.reference.dynamic_ops import run_dynamic_op
from converters.runtime.interpreter import Kernels
from converters.tflite.graph import Op, Quantization, Tensor
from tests.support.dynamic_models import dense_op, floats, lookup_op, product_op, random_bias, random_weight
from tests.support.op_models import KERNELS, add_op, concat_op, file_of, layer_op, run_kernels, weight

FUSED = st.sampled_from(["NONE", "RELU", "RELU6", "RELU_N1_TO_1"])
# No deadline: the first example of a process loads the interpreter's library.
some = settings(max_examples=60, deadline=None, derandomize=True)


@dataclass(frozen=True)
class Rows:
    """What activations look like."""

    pattern: str
    magnitude: float

    def values(self, rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        drawn = rng.normal(size=shape)
        if self.pattern == "zeros":
            drawn[...] = 0
        elif self.pattern == "constant":
            drawn[...] = drawn[..., :1]
        elif self.pattern == "negative":
            drawn = -np.abs(drawn) - 1
        elif self.pattern == "one zero row":
            drawn[0] = 0
        elif self.pattern == "ties":  # quotients that end in .5 where a row reaches 127.5 steps
            drawn = np.round(drawn * 40) / 2
            drawn[..., 0] = 127.5
        elif self.pattern == "outlier":
            drawn[..., -1] = 1e4
        return (drawn * self.magnitude).astype(np.float32)


ROWS = st.builds(
    Rows,
    st.sampled_from(["normal", "zeros", "constant", "negative", "one zero row", "ties", "outlier"]),
    st.sampled_from([1.0, 1e-30, 1e-12, 3e-3, 1e3, 1e20, 1e30]),
)


def check(op: Op, x: np.ndarray, kernels: tuple[Kernels, ...] = KERNELS) -> None:
    """Every set of kernels stays within the tolerance."""
    source = next(t for t in op.inputs if t is not None and t.data is None)
    content = file_of([op], [source], op.outputs)
    for name in kernels:
        (result,) = run_kernels(content, name, [x])
        found = compare_dynamic(op, {source: x, op.outputs[0]: result}, name)
        assert found.ratio <= 1, f"{name}: {found}"


@some
@given(
    shape=st.one_of(
        st.tuples(st.integers(1, 5), st.integers(1, 80)),
        st.tuples(st.integers(1, 3), st.integers(1, 4), st.sampled_from([31, 32, 64, 130])),
    ),
    rows=st.integers(1, 20),
    bits=st.sampled_from([8, 4]),
    look=ROWS,
    fused=FUSED,
    biased=st.booleans(),
    asymmetric=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
def test_dense_layers(
    shape: tuple[int, ...], rows: int, bits: int, look: Rows, fused: str, biased: bool, asymmetric: bool, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    op = dense_op(rng, shape, rows, bits=bits, fused=fused, biased=biased)
    op.options.asymmetricQuantizeInputs = asymmetric
    check(op, look.values(rng, shape))


@some
@given(
    kind=st.sampled_from(["conv", "depthwise", "transpose_conv"]),
    size=st.integers(3, 7),
    channels=st.sampled_from([1, 3, 8]),
    rows=st.sampled_from([1, 4, 16]),
    kernel=st.integers(1, 3),
    stride=st.integers(1, 2),
    batch=st.integers(1, 2),
    bits=st.sampled_from([8, 4]),
    same_scales=st.booleans(),
    look=ROWS,
    fused=FUSED,
    seed=st.integers(0, 2**32 - 1),
)
def test_convolutions(
    kind: str,
    size: int,
    channels: int,
    rows: int,
    kernel: int,
    stride: int,
    batch: int,
    bits: int,
    same_scales: bool,
    look: Rows,
    fused: str,
    seed: int,
) -> None:
    rng = np.random.default_rng(seed)
    rows = channels if kind == "depthwise" else rows
    bits = bits if kind == "conv" else 8
    weight_shape = (1, kernel, kernel, rows) if kind == "depthwise" else (rows, kernel, kernel, channels)
    transposed = kind == "transpose_conv"
    out = size * stride if transposed else -(-size // stride)
    op = layer_op(
        kind,
        floats("x", (batch, size, size, channels)),
        random_weight(rng, kind, weight_shape, bits=bits, same_scales=same_scales),
        random_bias(rng, rows),
        floats("y", (batch, out, out, rows)),
        stride=(stride, stride),
        padding="SAME",
        fused="NONE" if transposed else fused,
    )
    check(op, look.values(rng, (batch, size, size, channels)))


@some
@given(
    batch=st.integers(1, 3),
    rows=st.integers(1, 5),
    depth=st.sampled_from([1, 7, 64]),
    columns=st.integers(1, 20),
    each=st.booleans(),
    adj_y=st.booleans(),
    look=ROWS,
    seed=st.integers(0, 2**32 - 1),
)
def test_products_with_a_constant(
    batch: int, rows: int, depth: int, columns: int, each: bool, adj_y: bool, look: Rows, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    right = (columns, depth) if adj_y else (depth, columns)
    left = (batch, rows, depth)
    check(product_op(rng, left, (batch, *right) if each else right, adj_y=adj_y), look.values(rng, left))


@pytest.mark.parametrize("kernels", ["builtin", "reference"])
def test_built_in_products_of_two_batch_axes_are_found_wrong(kernels: Kernels) -> None:
    rng = np.random.default_rng(0)
    op = product_op(rng, (2, 3, 5, 64), (64, 32))
    x = rng.normal(size=(2, 3, 5, 64)).astype(np.float32)
    check(op, x, ("xnnpack",))
    (result,) = run_kernels(file_of([op], [op.input(0)], op.outputs), kernels, [x])
    assert compare_dynamic(op, {op.input(0): x, op.outputs[0]: result}, kernels).ratio > 1e3


@pytest.mark.parametrize("bits", [8, 4])
def test_lookups(bits: int) -> None:
    rng = np.random.default_rng(0)
    check(lookup_op(rng, 50, 16, 9, bits=bits), rng.integers(0, 50, 9).astype(np.int32))


def test_another_weight_code_is_seen() -> None:
    """The tolerance is far below one step of one weight."""
    rng = np.random.default_rng(1)
    op = dense_op(rng, (3, 256), 8, bits=8)
    x = rng.normal(size=(3, 256)).astype(np.float32)
    (result,) = run_kernels(file_of([op], [op.input(0)], op.outputs), "xnnpack", [x])
    weights = op.input(1)
    codes = weights.array().copy()
    codes[2, 7] += 1 if codes[2, 7] < 127 else -1
    weights.data = codes.tobytes()
    assert compare_dynamic(op, {op.input(0): x, op.outputs[0]: result}, "xnnpack").ratio > 10


def test_another_scale_is_seen() -> None:
    rng = np.random.default_rng(1)
    op = dense_op(rng, (3, 256), 8, bits=4)
    x = rng.normal(size=(3, 256)).astype(np.float32)
    (result,) = run_kernels(file_of([op], [op.input(0)], op.outputs), "builtin", [x])
    scaling = op.input(1).quantization
    assert scaling is not None
    op.input(1).quantization = Quantization(scaling.scale * np.float32(1.001), scaling.zero_point, scaling.axis)
    assert compare_dynamic(op, {op.input(0): x, op.outputs[0]: result}, "builtin").ratio > 10


def test_values_beyond_float32_may_be_anything() -> None:
    op = dense_op(np.random.default_rng(0), (2, 8), 4, bits=8)
    x = np.full((2, 8), 1e38, np.float32)
    x[1] = 1
    ((first, *_),) = run_dynamic_op(op, [x, None, None], kernels="xnnpack")
    assert np.isinf(first.tolerance[0]).all()
    assert np.isfinite(first.tolerance[1]).all()


def test_what_it_has_no_reference_for() -> None:
    rng = np.random.default_rng(0)
    op = dense_op(rng, (2, 8), 4, bits=8)
    x = np.ones((2, 8), np.float32)
    op.options.fusedActivationFunction = 4
    with pytest.raises(NotImplementedError, match="fused activation 4"):
        run_dynamic_op(op, [x, None, None], kernels="xnnpack")
    op = dense_op(rng, (2, 8), 4, bits=8)
    with pytest.raises(NotImplementedError, match="not given"):
        run_dynamic_op(op, [None, None, None], kernels="xnnpack")
    scaling = op.input(1).quantization
    assert scaling is not None
    op.input(1).quantization = Quantization(scaling.scale, scaling.zero_point + 3, scaling.axis)
    with pytest.raises(NotImplementedError, match="zero point"):
        run_dynamic_op(op, [x, None, None], kernels="xnnpack")
    op.input(1).quantization = None
    with pytest.raises(NotImplementedError, match="int8 and int4 weights only"):
        run_dynamic_op(op, [x, None, None], kernels="xnnpack")


@pytest.mark.parametrize("bits", [8, 4])
def test_what_a_doubtful_code_is_worth_is_rounded_too(bits: int) -> None:
    # Every element is a sum of its own, next to a tie: where the reference says 0, the kernel may say 1 or -1 step,
    # whose scales it multiplies in float32.
    size, rng = 256, np.random.default_rng(0)
    codes = np.diag(rng.integers(1, 2 ** (bits - 1), size))
    weights = weight("w", "dense", codes, rng.uniform(0.01, 0.03, size), int4=bits == 4)
    shape = (size, size)
    op = layer_op("dense", floats("x", shape), weights, None, floats("y", shape), keep_dims=True)
    op.options.asymmetricQuantizeInputs = True
    for symmetric in (False, True):
        low = rng.uniform(0.1, 1, (size, 1))
        high = low if symmetric else rng.uniform(0.1, 1, (size, 1))
        step = low / 127 if symmetric else (low + high) / 255
        x = (rng.integers(-4, 4, shape) + 0.5) * step
        x[:, :1], x[:, 1:2] = -low, high
        check(op, x.astype(np.float32))


@pytest.mark.parametrize("magnitude", [1e-39, 1e-37, 3e-37, 1e-36])
def test_rows_whose_scale_has_no_reciprocal_in_float32(magnitude: float) -> None:
    # Some kernels make ends of the row of all numbers but zeros.
    op = dense_op(np.random.default_rng(0), (8, 32), 8, bits=8, biased=False)
    check(op, Rows("normal", magnitude).values(np.random.default_rng(1), (8, 32)))


def test_subnormal_numbers() -> None:
    op = dense_op(np.random.default_rng(0), (1, 16), 8, bits=8, biased=False)
    x = np.zeros((1, 16), np.float32)
    x[0, :5] = [-3.34e-37, 4.27e-36, -1.08e-38, -1.17e-38, 1.1e-38]  # the last three are below 1.18e-38
    check(op, x)


def test_a_bias_that_is_not_given_is_not_taken_for_none() -> None:
    op = dense_op(np.random.default_rng(0), (2, 32), 6, bits=8)
    op.inputs[2] = floats("computed", (6,))
    x, bias = np.ones((2, 32), np.float32), np.arange(6, dtype=np.float32)
    with pytest.raises(NotImplementedError, match="input that is not given"):
        run_dynamic_op(op, [x, None, None], kernels="xnnpack")
    ((with_bias,),) = run_dynamic_op(op, [x, None, bias], kernels="xnnpack")
    op.inputs[2] = None
    ((without,),) = run_dynamic_op(op, [x, None, None], kernels="xnnpack")
    np.testing.assert_allclose(with_bias.values - without.values, [bias] * 2, atol=1e-12)  # float64


def test_other_operators_are_computed_as_they_are() -> None:
    rng = np.random.default_rng(0)
    first, second = (rng.normal(size=(2, 6)).astype(np.float32) for _ in range(2))
    for name, result in (("ADD", first + second), ("CONCATENATION", np.concatenate([first, second], axis=1))):
        op = _joining(name, result.shape)
        values: dict[Tensor, np.ndarray] = {op.input(0): first, op.input(1): second, op.outputs[0]: result}
        assert compare_dynamic(op, values, "xnnpack").ratio <= 1
        values[op.outputs[0]] = result + np.float32(1e-3)
        assert compare_dynamic(op, values, "xnnpack").ratio > 100


def _joining(name: str, shape: tuple[int, ...]) -> Op:
    first, second, result = floats("a", (2, 6)), floats("b", (2, 6)), floats("y", shape)
    return add_op(first, second, result) if name == "ADD" else concat_op([first, second], result, axis=1)
