from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.rounding_problems import correlated_moment, heavy_tailed, problem_of, reals
from tfmpq.algorithms.assembly import assemble, corrected_bias, trusted_mean
from tfmpq.algorithms.radix import quantize_radix


def test_every_row_comes_from_the_candidate_with_its_number_of_points():
    rng = np.random.default_rng(0)
    problem = problem_of(heavy_tailed(rng, 2, 3, 7), correlated_moment(rng, 2, 7), 3)
    candidates = quantize_radix(problem, 4)
    counts = np.array([3, 1, 2, 1, 3, 2])
    weight = assemble(candidates, counts, 3)
    assert len(weight.points) == 3  # no empty fourth
    np.testing.assert_array_equal(weight.counts, counts)
    for row, count in enumerate(counts):
        np.testing.assert_array_equal(
            weight.reconstruct()[row], reals(candidates[count - 1], problem.weight).reshape(6, 7)[row]
        )
        for i, point in enumerate(weight.points):
            if i < count:  # most significant first
                np.testing.assert_array_equal(point.codes[row], candidates[count - 1].codes[i, row])
                assert point.scale[row] == candidates[count - 1].scales[i, row]
            else:
                assert not point.codes[row].any()


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 2**32 - 1),
    groups=st.integers(1, 4),
    rows=st.integers(1, 3),
    columns=st.integers(1, 9),
    step=st.sampled_from([0.0, 0.1, 2.0]),
)
def test_a_corrected_bias_keeps_the_mean_output(seed: int, groups: int, rows: int, columns: int, step: float):
    rng = np.random.default_rng(seed)
    inputs = rng.exponential(3.0, (groups, 50, columns))
    seen = inputs if step == 0 else np.rint(inputs / step) * step  # as int8 activations hold them
    weight = heavy_tailed(rng, groups, rows, columns).reshape(groups * rows, columns).astype(np.float32)
    quantized = np.rint(weight)
    bias = rng.normal(size=groups * rows).astype(np.float32)

    def mean_output(rows_: np.ndarray, bias_: np.ndarray, x: np.ndarray) -> np.ndarray:
        per_sample = np.einsum("grd,gnd->grn", rows_.astype(np.float64).reshape(groups, rows, columns), x)
        return (per_sample + bias_.astype(np.float64).reshape(groups, rows, 1)).mean(axis=2).ravel()

    found = corrected_bias(bias, weight, quantized, inputs.mean(axis=1), seen.mean(axis=1))
    assert found.dtype == np.float32
    # Zero, but for the bias being float32 (half a unit of 2^-23 of it) and float64 sums.
    terms = np.einsum("grd,gd->gr", np.abs(weight).reshape(groups, rows, columns) + 1.0, inputs.mean(axis=1)).ravel()
    slack = 2.0**-24 * np.abs(found) + 1e-12 * terms
    difference = mean_output(quantized, found, seen) - mean_output(weight, bias, inputs)
    assert (np.abs(difference) <= slack).all()


def test_a_bias_stays_where_nothing_was_rounded():
    rng = np.random.default_rng(1)
    weight, mean = rng.normal(size=(4, 6)), rng.normal(size=(2, 6))
    bias = rng.normal(size=4).astype(np.float32)
    np.testing.assert_array_equal(corrected_bias(bias, weight, weight, mean, mean), bias)


def test_shifts_of_few_positions_are_chance():
    mean, seen = np.array([[0.2, 5.0]]), np.array([[0.0, 5.25]])
    np.testing.assert_array_equal(trusted_mean(mean, seen, 15), mean)
    np.testing.assert_array_equal(trusted_mean(mean, seen, 16), seen)
