from __future__ import annotations

from itertools import pairwise, product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from converters.points import (
    MAX_BITS,
    MAX_POINTS,
    MIN_BITS,
    MultipointWeight,
    Point,
    code_range,
    grid_limits,
    merge,
    radix,
    row_parts,
    split_digits,
    turned,
)
from tests.support.rounding_problems import many

BITS = range(MIN_BITS, MAX_BITS + 1)
GRIDS = list(product(BITS, range(1, MAX_POINTS + 1)))
MERGING = {(b, 1) for b in BITS} | {(2, 2), (2, 3), (2, 4), (3, 2), (4, 2), (5, 2), (6, 2), (7, 2)}


def radix_weight(values: np.ndarray, scale: np.ndarray, *, bits: int, points: int) -> MultipointWeight:
    """Rows (C, d) of whole numbers times ``scale`` (C,) as radix points."""
    digits = split_digits(values, bits=bits, points=points)
    scales = [scale * np.float32(radix(bits, points) ** (points - 1 - i)) for i in range(points)]
    return weight_of(*zip(digits, scales, strict=True), bits=bits)


def weight_of(
    *points: tuple[np.ndarray | list, np.ndarray | list], counts: list[int] | None = None, bits: int = 4
) -> MultipointWeight:
    made = tuple(Point(np.asarray(codes, np.int8), np.asarray(scale, np.float32)) for codes, scale in points)
    rows = len(made[0].codes)
    return MultipointWeight(made, np.full(rows, len(made)) if counts is None else np.array(counts), bits)


def test_grids():
    assert [code_range(b) for b in BITS] == [(-2, 1), (-4, 3), (-8, 7), (-16, 15), (-32, 31), (-64, 63), (-127, 127)]
    assert [grid_limits(b, 1) for b in BITS] == [code_range(b) for b in BITS]
    two = {2: (-6, 5), 3: (-28, 27), 4: (-120, 119), 5: (-127, 127), 6: (-127, 127), 7: (-127, 127)}
    assert {b: grid_limits(b, 2) for b in range(2, 8)} == two
    assert [grid_limits(2, n) for n in (3, 4)] == [(-26, 21), (-106, 85)]
    # 255 levels a digit and none twice: 255^2 numbers around 0.
    assert grid_limits(8, 2) == (-(255**2) // 2 + 1, 255**2 // 2)


@pytest.mark.parametrize(("bits", "points"), GRIDS)
def test_every_number_of_a_grid_has_its_digits(bits: int, points: int):
    low, high = grid_limits(bits, points)
    if high - low < 2**21:
        values = np.arange(low, high + 1)
    else:  # the ends, the neighbourhood of every carry into a higher digit near them and 0, and a random sample
        carries = np.array([k * radix(bits, points) ** p for p in range(points) for k in range(-300, 301)])
        near = (carries[:, None, None] + np.array([low, 0, high])[:, None] + np.arange(-2, 3)).ravel()
        random = np.random.default_rng(0).integers(low, high + 1, 100_000)
        values = np.concatenate([near[(near >= low) & (near <= high)], random])
    digits = split_digits(values, bits=bits, points=points)
    smallest, largest = code_range(bits)
    ratio = radix(bits, points)
    for i, digit in enumerate(digits):
        assert digit.dtype == np.int8
        # A first digit of -2^(b-1) would take two 4-bit points out of int8.
        assert digit.min() >= (smallest if i > 0 or points == 1 else -largest)
        assert digit.max() <= largest
    # The sum gives the number back, so no two numbers share digits ...
    total = sum(d.astype(np.int64) * ratio ** (points - 1 - i) for i, d in enumerate(digits))
    np.testing.assert_array_equal(total, values)
    if points > 1 and (bits < 5 or bits == 8 or points > 2):
        # ... and there are as many numbers as digits: no storage is wasted.
        assert high - low + 1 == (2 * largest + 1) * (largest - smallest + 1) ** (points - 1)


@pytest.mark.parametrize("bits", BITS)
def test_more_points_keep_every_number(bits: int):
    limits = [grid_limits(bits, n) for n in range(1, MAX_POINTS + 1)]
    for (low, high), (lower, higher) in pairwise(limits):
        assert lower <= low
        assert high <= higher


@pytest.mark.parametrize(("bits", "points"), GRIDS)
def test_which_grids_merge(bits: int, points: int):
    values = np.array([grid_limits(bits, points), (0, 1)])
    weight = radix_weight(values, np.array([0.3, 0.7], np.float32), bits=bits, points=points)
    merged = merge(weight)
    assert (merged is not None) == ((bits, points) in MERGING)
    if merged is not None:
        np.testing.assert_array_equal(merged.codes, values)


@many
@given(st.data())
def test_merge_is_exact(data: st.DataObject):
    bits, points = data.draw(st.sampled_from(sorted(MERGING)))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    counts = rng.integers(1, points + 1, 6)
    size = data.draw(st.sampled_from([1e-30, 1e-3, 1.0, 1e30]))
    last = (size * rng.lognormal(size=6)).astype(np.float32)
    codes, scales = np.zeros((points, 6, 9), np.int8), rng.lognormal(size=(points, 6)).astype(np.float32)
    for c, n in enumerate(counts):  # fewer points than a grid that merges merge too
        low, high = grid_limits(bits, n)
        codes[:n, c] = split_digits(rng.integers(low, high + 1, 9), bits=bits, points=n)
        scales[:n, c] = [last[c] * np.float32(radix(bits, n) ** (n - 1 - i)) for i in range(n)]
    weight = MultipointWeight(tuple(map(Point, codes, scales)), counts, bits)
    merged = merge(weight)
    assert merged is not None
    np.testing.assert_array_equal(merged.scale, scales[counts - 1, np.arange(6)])
    # Exactly: every product has at most 24 + 8 significant bits, and so has the sum.
    real = merged.scale.astype(np.float64)[:, None] * merged.codes
    np.testing.assert_array_equal(real, weight.reconstruct())


def test_merges_any_whole_ratio_and_refuses_the_rest():
    def merged(first: float, second: float, codes: tuple[int, int]) -> list | None:
        point = merge(weight_of(([[codes[0], 1]], [first]), ([[codes[1], 0]], [second])))
        return None if point is None else point.codes.tolist()

    assert merged(0.75, 0.25, (7, -8)) == [[13, 3]]
    assert merged(0.25, 0.25, (7, 7)) == [[14, 1]]
    assert merged(17.0, 1.0, (7, 7)) == [[126, 17]]
    assert merged(17.0, 1.0, (7, -8)) == [[111, 17]]
    assert merged(18.0, 1.0, (7, 1)) == [[127, 18]]
    assert merged(18.0, 1.0, (7, 2)) is None  # 128
    assert merged(18.0, 1.0, (-7, -2)) is None  # -128
    assert merged(2.5, 1.0, (1, 1)) is None
    assert merged(1.0, 2.0, (1, 1)) is None
    # A whole ratio beyond int64; times an even code it must not wrap around to 0.
    assert merged(2.0**100, 1.0, (2, 1)) is None
    # A sum of large terms that cancel must not be trusted to rounding.
    big = 2.0**60
    assert merge(weight_of(([[1]], [3.0]), ([[1]], [big]), ([[-1]], [big]), ([[1]], [1.0]))) is None


def test_one_row_that_does_not_merge_is_enough():
    assert merge(weight_of(([[1], [1]], [2.0, 2.0]), ([[1], [1]], [1.0, 0.8]))) is None
    # ... but a row that does not use the second point does not care about its scale.
    point = merge(weight_of(([[1], [1]], [2.0, 2.0]), ([[1], [0]], [1.0, 0.8]), counts=[2, 1]))
    assert point is not None
    assert point.scale.tolist() == [1.0, 2.0]
    assert point.codes.tolist() == [[3], [1]]


@many
@given(st.data())
def test_reconstruct_is_the_sum_of_points(data: st.DataObject):
    bits, points = data.draw(st.integers(MIN_BITS, MAX_BITS)), data.draw(st.integers(1, MAX_POINTS))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    rows, columns = data.draw(st.integers(1, 5)), data.draw(st.integers(1, 7))
    counts = rng.integers(1, points + 1, rows)
    low, high = code_range(bits)
    codes = rng.integers(low, high + 1, (points, rows, columns)).astype(np.int8)
    codes[np.arange(points)[:, None] >= counts] = 0
    scales = rng.lognormal(0, 5, (points, rows)).astype(np.float32)
    weight = MultipointWeight(tuple(map(Point, codes, scales)), counts, bits)
    expected = [
        [sum(float(scales[i, c]) * int(codes[i, c, k]) for i in range(counts[c])) for k in range(columns)]
        for c in range(rows)
    ]
    assert weight.shape == (rows, columns)
    np.testing.assert_array_equal(weight.reconstruct(), expected)
    order, back = rng.permutation(rows), rng.permutation(columns)
    np.testing.assert_array_equal(weight.permuted(order, back).reconstruct(), np.array(expected)[order][:, back])
    np.testing.assert_array_equal(weight.permuted(None, None).reconstruct(), expected)


def test_stored_bytes():
    points = [([[1, 1, 1], [1, 1, 1]], [1.0, 1.0]), ([[1, 1, 1], [0, 0, 0]], [1.0, 1.0])]
    # 3 rows of 3 codes of 3 bits are 27 bits, 4 bytes, and 3 scales.
    assert weight_of(*points, counts=[2, 1], bits=3).stored_bytes() == 4 + 12


@pytest.mark.parametrize(
    ("points", "counts", "bits", "message"),
    [
        ([([[8]], [1.0])], None, 4, "point 0: codes leave -8..7"),
        ([([[-128]], [1.0])], None, 8, "point 0: codes leave -127..127"),
        ([([[1]], [0.0])], None, 4, "point 0: scales must be finite and positive"),
        ([([[1]], [1.0]), ([[1]], [np.inf])], None, 4, "point 1: scales must be finite and positive"),
        ([([[1]], [np.nan])], None, 4, "point 0: scales must be finite and positive"),
        ([([[1]], [1.0]), ([[1]], [1.0])], [1], 4, "point 1: a row that has fewer points holds codes"),
        ([([[1]], [1.0])], [2], 4, r"counts must lie in 1\.\.1, one a row"),
        ([([[1]], [1.0])], [0], 4, r"counts must lie in 1\.\.1, one a row"),
        ([([[1]], [1.0])], [1, 1], 4, r"counts must lie in 1\.\.1, one a row"),
        ([([[1]], [1.0, 1.0])], None, 4, r"point 0: codes must be int8 \(1, 1\) with one scale a row"),
        ([([[1]], [1.0]), ([[1, 1]], [1.0])], None, 4, r"point 1: codes must be int8 \(1, 1\)"),
    ],
)
def test_impossible_points_are_refused(points: list, counts: list[int] | None, bits: int, message: str):
    with pytest.raises(ValueError, match=message):
        weight_of(*points, counts=counts, bits=bits)


def test_codes_of_another_type_are_refused():
    with pytest.raises(ValueError, match="point 0: codes must be int8"):
        MultipointWeight((Point(np.ones((1, 1), np.int16), np.ones(1, np.float32)),), np.ones(1, np.int64), 4)


def test_large_weights_are_worked_on_in_parts(monkeypatch: pytest.MonkeyPatch):
    rng = np.random.default_rng(0)
    codes = rng.integers(-7, 8, (2, 9, 5)).astype(np.int8)
    counts = rng.integers(1, 3, 9)
    codes[1, counts == 1] = 0
    last = rng.lognormal(size=9).astype(np.float32)
    weight = MultipointWeight((Point(codes[0], last * np.float32(16)), Point(codes[1], last)), counts, 4)
    whole, merged = weight.reconstruct(), merge(weight)
    monkeypatch.setattr("converters.points._MOST_NUMBERS", 12)
    assert len(row_parts(9, 5)) == 5
    np.testing.assert_array_equal(weight.reconstruct(), whole)
    np.testing.assert_array_equal(weight.reconstruct(np.float32), whole.astype(np.float32))
    again = merge(weight)
    assert (again is None) == (merged is None)
    if merged is not None and again is not None:
        np.testing.assert_array_equal(again.codes, merged.codes)


@pytest.mark.parametrize(("bits", "points"), [(2, 1), (2, 4), (3, 3), (4, 1), (4, 2), (5, 2), (6, 2), (8, 1)])
def test_rows_turn_around_digit_by_digit_or_as_a_whole(bits: int, points: int):
    low, high = grid_limits(bits, points)
    limit = min(-low, high)
    whole = np.random.default_rng(0).integers(-limit, limit + 1, (6, 40))
    whole[0, :2] = -limit, limit
    ratio = radix(bits, points)
    scales = [np.full(6, 0.5 * ratio ** (points - 1 - i), np.float32) for i in range(points)]
    digits = split_digits(whole, bits=bits, points=points)
    weight = MultipointWeight(tuple(Point(d, s) for d, s in zip(digits, scales, strict=True)), np.full(6, points), bits)
    rows = np.array([True, True, False, True, False, False])
    signs = np.where(rows, -1, 1)[:, None]
    np.testing.assert_array_equal(turned(weight, rows).reconstruct(), signs * weight.reconstruct())


def test_the_lowest_row_has_no_opposite():
    codes = np.array([[-8, 7, 0], [-8, 7, 0]], np.int8)
    weight = MultipointWeight((Point(codes, np.ones(2, np.float32)),), np.ones(2, np.int64), 4)
    np.testing.assert_array_equal(turned(weight, np.array([True, False])).points[0].codes, [[7, -7, 0], [-8, 7, 0]])
