"""Cosines by hand."""

from __future__ import annotations

import numpy as np

from tfmpq.activations.values.cosines import cosines


def test_cosines():
    vectors = np.array([[1.0, 0.0], [0.8, 0.6], [0.0, 2.0], [-3.0, 0.0]], np.float32)
    # 0.8 and 0.6 are those of float32, 6e-8 off at most
    np.testing.assert_allclose(cosines(vectors, np.array([[2, 0]] * 4)), [1, 0.8, 0, -1], rtol=1e-7)


def test_zero_rows():
    np.testing.assert_array_equal(
        cosines(np.array([[0, 0], [0, 0], [1, 2]]), np.array([[0, 0], [3, 4], [0, 0]])), [1, 0, 0]
    )


def test_lengths_whose_product_float32_does_not_have():
    assert cosines(np.full((1, 4), 1e30, np.float32), np.full((1, 4), 1e-30, np.float32)) == [1.0]
