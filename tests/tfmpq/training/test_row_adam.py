"""Adam in units of each variable's own."""

from __future__ import annotations

import keras
import numpy as np

from tfmpq.training.row_adam import RowAdam


def test_the_first_step_is_the_rate_in_units_of_the_variable():
    kernel, bias = keras.Variable(np.zeros((3, 2))), keras.Variable(np.zeros(2))
    units = [np.array([[1.0, 10.0]]), np.array([0.5, 2.0])]
    optimizer = RowAdam(0.01, units)
    optimizer.apply([np.array(g, np.float32) for g in ([[1, -2], [3, 4], [-5, 6]], [-7, 8])], [kernel, bias])
    # Adam's first step is the gradient over its own magnitude, but for 1e-7.
    np.testing.assert_allclose(kernel, -0.01 * np.array([[1, -10], [1, 10], [-1, 10]]), rtol=1e-5)
    np.testing.assert_allclose(bias, [0.005, -0.02], rtol=1e-5)
