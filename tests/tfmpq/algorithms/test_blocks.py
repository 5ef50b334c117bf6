"""Blocks of columns: what a whole matrix that is zero outside of them gives."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.support.rounding_problems import correlated_moment, heavy_tailed, problem_of
from tfmpq.algorithms import ALGORITHMS
from tfmpq.algorithms.blocks import block_count, join, split
from tfmpq.algorithms.problem import output_error


def blocks_and_whole(count: int, width: int, columns: int) -> tuple[np.ndarray, np.ndarray]:
    """Blocks (count, width, width), one of them dead, and the matrix (1, columns, columns) they stand for."""
    blocks = correlated_moment(np.random.default_rng(columns), count, width)
    blocks *= np.random.default_rng(1).lognormal(0, 1, (count, 1, 1))
    blocks[1] = 0.0
    left = columns - (count - 1) * width
    blocks[-1, left:] = blocks[-1, :, left:] = 0.0
    whole = np.zeros((count * width, count * width))
    for number, block in enumerate(blocks):
        part = slice(number * width, (number + 1) * width)
        whole[part, part] = block
    return blocks, whole[None, :columns, :columns]


# Blocks that end with the columns, and such that do not; wider than what is worked on at a time.
@pytest.mark.parametrize(("count", "width", "columns"), [(3, 10, 30), (4, 9, 34), (3, 70, 210), (3, 69, 205)])
@pytest.mark.parametrize("algorithm", ["radix", "nearest_radix", "greedy"])
def test_blocks_are_what_the_whole_matrix_is(algorithm: str, count: int, width: int, columns: int):
    blocks, whole = blocks_and_whole(count, width, columns)
    weight = heavy_tailed(np.random.default_rng(2), 1, 12, columns)
    delta = np.random.default_rng(3).normal(size=weight.shape)
    np.testing.assert_allclose(output_error(delta, blocks), output_error(delta, whole), rtol=1e-10)
    ours, expected = (ALGORITHMS[algorithm].quantize(problem_of(weight, moment, 4), 2) for moment in (blocks, whole))
    for a, b in zip(ours, expected, strict=True):
        # The mean that damping adds is over all columns, those that pad the last block too; and columns are sorted
        # within blocks only, which is of no effect on others. A tie may fall otherwise.
        assert (a.codes == b.codes).all(axis=2).mean() > 0.9
        np.testing.assert_allclose(a.error.sum(), b.error.sum(), rtol=2e-2)
        if columns == count * width:
            np.testing.assert_array_equal(a.codes, b.codes)
            np.testing.assert_array_equal(a.scales, b.scales)


@pytest.mark.parametrize("blocked", [False, True])
def test_rows_may_come_in_parts(blocked: bool):
    blocks, whole = blocks_and_whole(3, 20, 58)
    problem = problem_of(heavy_tailed(np.random.default_rng(1), 1, 10, 58), blocks if blocked else whole, 4)
    for name, algorithm in ALGORITHMS.items():
        if not algorithm.by_rows:
            continue
        shared: dict[str, Any] = {}
        together = algorithm.quantize(problem, 2)
        for part in (slice(0, 3), slice(3, 10)):
            some = replace(problem, weight=problem.weight[:, part], scale_floor=problem.scale_floor[:, part])
            found = algorithm.quantize(replace(some, shared=shared), 2)
            for a, b in zip(found, together, strict=True):
                np.testing.assert_array_equal(a.codes, b.codes[:, part], err_msg=name)
                np.testing.assert_array_equal(a.scales, b.scales[:, part], err_msg=name)


def test_columns_are_split_evenly_where_they_can_be():
    assert [block_count(d, 512) for d in (512, 6272, 9216, 25088, 1021)] == [1, 14, 18, 49, 2]
    rows = np.random.default_rng(0).normal(size=(1, 5, 23))
    for count in (1, 4, 23):
        blocks = split(rows, count)
        assert blocks.shape == (count, 5, -(-23 // count))
        np.testing.assert_array_equal(join(blocks, 1, 23), rows)
    groups = rows.reshape(5, 1, 23)
    assert split(groups, 5) is groups  # as many groups as matrices: nothing to split
