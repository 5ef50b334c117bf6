from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from converters.errors import FileFormatError
from converters.layers.im2col import Geometry, Reading, output_size, transposed_input
from converters.layers.kinds import KINDS

PAIRS = st.tuples(st.integers(1, 3), st.integers(1, 3))
some = settings(max_examples=60, deadline=None, derandomize=True)


def pad_before(size: int, out: int, kernel: int, stride: int, dilation: int, padding: str) -> int:
    """TensorFlow's documented rule: SAME pads what the last window lacks, the odd element behind."""
    return 0 if padding == "VALID" else max((out - 1) * stride + (kernel - 1) * dilation + 1 - size, 0) // 2


def convolve(x: np.ndarray, weight: np.ndarray, geometry: Geometry, out: tuple[int, int], groups: int) -> np.ndarray:
    """The definition, one multiplication at a time; ``weight`` is (C, kh, kw, Cin / groups)."""
    (kh, kw), (sh, sw), (dh, dw) = geometry.kernel, geometry.stride, geometry.dilation
    top = pad_before(x.shape[1], out[0], kh, sh, dh, geometry.padding)
    left = pad_before(x.shape[2], out[1], kw, sw, dw, geometry.padding)
    result = np.zeros((x.shape[0], *out, len(weight)))
    width = weight.shape[3]
    for n, y, column, c in np.ndindex(*result.shape):
        group = c // (len(weight) // groups)
        for i, j in itertools.product(range(kh), range(kw)):
            row, col = y * sh + i * dh - top, column * sw + j * dw - left
            if 0 <= row < x.shape[1] and 0 <= col < x.shape[2]:
                pixel = x[n, row, col, group * width : (group + 1) * width]
                result[n, y, column, c] += pixel @ weight[c, i, j]
    return result


def multiply(taken: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Patches (G, P, d) times the groups' rows -> (P, C)."""
    groups = len(taken)
    return np.concatenate([p @ r.T for p, r in zip(taken, np.split(rows, groups), strict=True)], axis=1)


def same_or_valid(size: int, kernel: int, stride: int, dilation: int, padding: str) -> int:
    return -(-size // stride) if padding == "SAME" else (size - (kernel - 1) * dilation - 1) // stride + 1


windows = st.builds(
    Geometry, PAIRS, PAIRS, st.sampled_from([(1, 1), (2, 1), (2, 3)]), st.sampled_from(["SAME", "VALID"])
)


@some
@given(
    geometry=windows, size=st.tuples(st.integers(7, 9), st.integers(7, 9)), depthwise=st.booleans(),
    groups=st.integers(1, 3), width=st.integers(1, 2), multiplier=st.integers(1, 2), seed=st.integers(0, 99),
)  # fmt: skip
def test_convolutions_follow_the_definition(geometry, size, depthwise, groups, width, multiplier, seed):
    width = 1 if depthwise else width
    rng = np.random.default_rng(seed)
    # integers: every sum is exact, whatever its order
    x = rng.integers(-9, 9, (2, *size, groups * width)).astype(np.float64)
    weight = rng.integers(-9, 9, (groups * multiplier, *geometry.kernel, width)).astype(np.float64)
    axes = zip(size, geometry.kernel, geometry.stride, geometry.dilation, strict=True)
    out = tuple(same_or_valid(*axis, geometry.padding) for axis in axes)
    expected = convolve(x, weight, geometry, (out[0], out[1]), groups)

    taken = KINDS["depthwise" if depthwise else "conv"].patches(x, Reading(geometry, weight[0].size, groups))
    result = multiply(taken, weight.reshape(len(weight), -1))
    np.testing.assert_array_equal(result, expected.reshape(-1, len(weight)))
    assert output_size(geometry, *size) == out
    assert KINDS["conv"].position_count(x, Reading(geometry, weight[0].size)) == len(result)


@some
@given(
    kernel=st.tuples(st.integers(1, 4), st.integers(1, 4)), stride=PAIRS, padding=st.sampled_from(["SAME", "VALID"]),
    size=st.tuples(st.integers(1, 5), st.integers(1, 5)), extra=st.integers(0, 2), seed=st.integers(0, 99),
)  # fmt: skip
def test_transposed_convolutions_follow_the_definition(kernel, stride, padding, size, extra, seed):
    rng = np.random.default_rng(seed)
    x = rng.integers(-9, 9, (2, *size, 2)).astype(np.float64)
    weight = rng.integers(-9, 9, (3, *kernel, 2)).astype(np.float64)
    # every output size whose convolution gives the input's size
    axes = zip(size, kernel, stride, strict=True)
    height, width = ((n - 1) * s + (1 if padding == "SAME" else k) + min(extra, s - 1) for n, k, s in axes)
    out = (height, width)
    # The transpose: every input pixel adds its multiple of the kernel to the window that reads it going forward.
    top, left = (pad_before(o, n, k, s, 1, padding) for o, n, k, s in zip(out, size, kernel, stride, strict=True))
    expected = np.zeros((2, *out, 3))
    for y, column, i, j in np.ndindex(*size, *kernel):
        row, col = y * stride[0] + i - top, column * stride[1] + j - left
        if 0 <= row < out[0] and 0 <= col < out[1]:
            expected[:, row, col] += x[:, y, column] @ weight[:, i, j].T

    geometry = Geometry(kernel, stride, (1, 1), padding)
    taken = KINDS["transpose_conv"].patches(x, Reading(geometry, weight[0].size, out_shape=out))
    np.testing.assert_array_equal(multiply(taken, weight.reshape(3, -1)), expected.reshape(-1, 3))
    assert KINDS["transpose_conv"].position_count(x, Reading(geometry, weight[0].size, out_shape=out)) == taken.shape[1]


@pytest.mark.parametrize("kind", ["conv", "depthwise", "transpose_conv", "dense"])
def test_positions_pick_from_the_whole(kind):
    x = np.random.default_rng(0).normal(size=(2, 5, 6, 4))
    geometry = Geometry() if kind == "dense" else Geometry((3, 2), (2, 1), (1, 1), "SAME")
    options: dict = {"columns": 4, "groups": 2 if kind == "conv" else 1}
    if kind == "transpose_conv":
        options["out_shape"] = (9, 6)
    whole = KINDS[kind].patches(x, Reading(geometry, **options))
    picked = np.array([7, 0, whole.shape[1] - 1, 7])
    np.testing.assert_array_equal(
        KINDS[kind].patches(x, Reading(geometry, **options), positions=picked), whole[:, picked]
    )


@pytest.mark.parametrize("kind", ["conv", "transpose_conv"])
def test_fill_is_what_is_not_input(kind):
    x = np.full((1, 3, 3, 1), 7, np.int8)
    geometry = Geometry((3, 3), (2, 2), (1, 1), "SAME")
    taken = KINDS[kind].patches(x, Reading(geometry, 9, out_shape=(6, 6)), fill=-5)
    assert taken.dtype == np.int8
    # As if computed with the zero point taken off first: padding is a real zero.
    shifted = KINDS[kind].patches(x.astype(int) + 5, Reading(geometry, 9, out_shape=(6, 6)))
    np.testing.assert_array_equal(taken.astype(int) + 5, shifted)
    assert set(np.unique(taken)) == {-5, 7}


def test_dense_flattens_all_but_the_last_axis():
    x = np.arange(24.0).reshape(2, 3, 4)
    np.testing.assert_array_equal(KINDS["dense"].patches(x, Reading(Geometry(), 4)), x.reshape(1, 6, 4))
    assert KINDS["dense"].position_count(x, Reading(Geometry(), 4)) == 6


def test_a_transposed_convolution_of_an_impossible_size_is_refused():
    x, geometry = np.zeros((1, 3, 3, 2), np.float32), Geometry((2, 2), (2, 2), padding="SAME")
    transposed_input(x, geometry, 0, (6, 5))
    with pytest.raises(FileFormatError, match="stride 2 and SAME padding makes 7 rows or columns of 3"):
        transposed_input(x, geometry, 0, (6, 7))
