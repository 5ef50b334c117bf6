"""Fixed-point numbers: range, rounding, points."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from converters.errors import OptionError
from tfmpq.training.fixed_point import FixedPoint, FixedPointWeight


def test_range_and_step():
    numbers = FixedPoint(2, 4)
    assert (numbers.bits, numbers.step, numbers.most) == (6, 1 / 16, 31)
    found = numbers.nearest(tf.constant([0.1, 5.0, -5.0, 0.03125, -1.94]), None)
    np.testing.assert_array_equal(found, [0.125, 31 / 16, -31 / 16, 0.0, -31 / 16])


@pytest.mark.parametrize(("integer_bits", "fraction_bits"), [(0, 4), (1, 0), (8, 9), (1, -1), (True, 4), (2.0, 4)])
def test_numbers_out_of_range(integer_bits: Any, fraction_bits: Any):
    with pytest.raises(OptionError, match="is out of range; give a whole number"):
        FixedPoint(integer_bits, fraction_bits)


@pytest.mark.parametrize("bits", range(2, 17))
def test_points_hold_every_number_and_its_negative(bits: int):
    quantizer = FixedPointWeight(1, bits - 1, channel_axes=(-1,))
    most = quantizer.numbers.most
    whole = np.unique(np.linspace(-most, most, 2001).astype(np.int64))
    weight = (whole * quantizer.numbers.step).astype(np.float32)[:, None]
    quantizer.build(weight.shape)
    points = quantizer.points(weight)
    np.testing.assert_array_equal(points.reconstruct(), weight.T)
    np.testing.assert_array_equal(np.asarray(quantizer(weight)), weight)
    assert len(points.points) == (1 if bits <= 8 else 2 if bits < 16 else 3)


def test_gradients_stop_where_numbers_saturate():
    quantizer = FixedPointWeight(1, 3, channel_axes=(-1,))
    w = tf.constant([[0.3], [2.0], [-0.9]])
    quantizer.build((3, 1))
    with tf.GradientTape() as tape:
        tape.watch(w)
        loss = tf.reduce_sum(quantizer(w) * 2.0)
    gradient: Any = tape.gradient(loss, w)
    np.testing.assert_array_equal(gradient, [[2.0], [0.0], [0.0]])
