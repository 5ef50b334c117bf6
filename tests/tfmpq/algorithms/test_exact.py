"""Exact products: near the plain ones, and the same in any order."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.rounding_problems import correlated_moment, few
from tfmpq.algorithms.exact import bits_for, cholesky, on_grid, precise_product, significant


@few
@given(st.integers(0, 2**32 - 1), st.integers(1, 3000), st.integers(-60, 60))
def test_sums_of_products_on_grids_are_exact(seed: int, length: int, exponent: int):
    """In any order: of all partial sums none is rounded, because whole numbers of 53 bits hold them."""
    rng = np.random.default_rng(seed)
    bits = bits_for(length)
    left, right = rng.standard_t(2, length) * 2.0**exponent, np.full(length, -1.0) + rng.normal(0, 1e-3, length)
    a, b = on_grid(left, bits, 0), on_grid(right, bits, 0)
    for rounded, plain in ((a, left), (b, right)):
        unit = 2.0 ** (np.ceil(np.log2(np.abs(plain).max())) + 1 - bits)
        assert np.abs(rounded - plain).max() <= unit / 2
    scaled = [int(np.ldexp(x, 200)) for x in a.tolist()], [int(np.ldexp(x, 200)) for x in b.tolist()]
    truth = sum(x * y for x, y in zip(*scaled, strict=True))
    order = rng.permutation(length)
    for found in (a @ b, float((a * b).sum()), float(np.cumsum((a * b)[order])[-1])):
        assert int(np.ldexp(float(found), 400)) == truth


@pytest.mark.parametrize(("groups", "size", "columns"), [(1, 700, 40), (50, 9, 1), (2, 65, 3)])
def test_products_are_near_the_plain_ones(groups: int, size: int, columns: int):
    rng = np.random.default_rng(0)
    left, right = rng.normal(size=(groups, 30, size)), rng.standard_t(4, (groups, size, columns))
    scale = np.abs(left).max() * np.abs(right).max() * np.sqrt(size)
    assert np.abs(precise_product(left, right) - left @ right).max() < 2.0**-38 * scale


@pytest.mark.parametrize(("groups", "size"), [(1, 1), (3, 9), (1, 64), (2, 65), (1, 700)])
def test_the_factor_is_that_of_lapack(groups: int, size: int):
    matrix = correlated_moment(np.random.default_rng(size), groups, size) + 0.01 * np.eye(size)
    found = cholesky(matrix)
    # What a panel of 64 columns leaves is rounded to 23 bits, and divided by pivots of 0.1 at least.
    atol = (1e-9 if size <= 64 else 1e-6) * np.abs(matrix).max()
    np.testing.assert_allclose(found, np.linalg.cholesky(matrix), atol=atol)
    np.testing.assert_array_equal(found, np.tril(found))
    matrix[-1, -1, -1] = -1.0
    with pytest.raises(np.linalg.LinAlgError):
        cholesky(matrix)


def test_figures_lose_their_last_bits():
    assert significant(1 / 3, 30) == significant(1 / 3 * (1 + 2.0**-40), 30)
    assert significant(1 / 3, 30) == pytest.approx(1 / 3, rel=2.0**-29)
    assert significant(0.0, 11) == 0.0
