from __future__ import annotations

import numpy as np
import pytest

from converters.reference.rounded_rows import around_zero, between_extremes


def rows(*values: list[float]) -> np.ndarray:
    return np.array(values, np.float32)


def test_a_row_takes_255_steps_from_its_minimum_to_its_maximum() -> None:
    found = between_extremes(rows([-1, 0, 4.1]))
    assert found.scale == pytest.approx(5.1 / 255)
    np.testing.assert_array_equal(found.codes, [[-50, 0, 205]])


def test_zero_is_always_in_range() -> None:
    found = between_extremes(rows([2, 3, 5.1], [-2, -3, -5.1]))
    np.testing.assert_allclose(found.scale, 5.1 / 255, rtol=1e-6)
    np.testing.assert_array_equal(found.codes, [[100, 150, 255], [-100, -150, -255]])


def test_symmetric_rows_take_127_steps_either_way() -> None:
    found = around_zero(rows([-1.27, 0, 0.4], [0, 0, 0]))
    np.testing.assert_allclose(found.scale, [[0.01], [1]], rtol=1e-6)
    np.testing.assert_array_equal(found.codes, [[-127, 0, 40], [0, 0, 0]])


def test_rows_of_zeros_are_certain() -> None:
    found = between_extremes(np.zeros((2, 5), np.float32))
    assert not found.codes.any()
    assert not found.doubt.any()
    assert (found.scale == 1).all()


def test_only_quotients_next_to_a_tie_are_in_doubt() -> None:
    found = between_extremes(rows([0, 255, 10.5, 10.4, 11.499995]))
    np.testing.assert_array_equal(found.doubt, [[0, 0, 1, 0, 1]])


def test_a_zero_point_next_to_a_tie_puts_the_ends_in_doubt() -> None:
    found = between_extremes(rows([-10.5, 244.5, 20]))  # zero point -117.5
    assert found.doubt[0, 2] == 0
    assert (found.doubt[0, :2] > 0).any()


def test_rows_too_small_for_float32_may_be_taken_as_anything() -> None:
    found = between_extremes(rows([1e-38, 2e-38]))
    assert (found.doubt >= np.abs(found.codes) + 255).all()


def test_numbers_below_float32s_normal_ones_may_be_taken_as_zeros() -> None:
    least = 2.0**-126
    for way in (between_extremes, around_zero):
        found = way(rows([-300 * least, 0.7 * least, 20 * least], [-300 * least, 1.1 * least, 20 * least]))
        assert (found.doubt[0] > np.abs(found.codes[0])).all()
        assert not found.doubt[1].any()
        # Far below what the row resolves, they are zeros to every kernel.
        assert not way(rows([-1.0, 0.7 * least, 0.3])).doubt.any()


def test_magnitude_does_not_count() -> None:
    drawn = np.random.default_rng(0).normal(size=(4, 30)).astype(np.float32)
    plain, large = between_extremes(drawn), between_extremes(drawn * np.float32(2.0**90))
    np.testing.assert_array_equal(plain.codes, large.codes)
    np.testing.assert_allclose(plain.scale * 2.0**90, large.scale)
