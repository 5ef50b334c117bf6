"""An optimizer whose weights stay fixed-point numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from converters.errors import OptionError
from tests.support.keras_nets import reloaded
from tfmpq.training import FixedPointUpdates


def kernel(value: float, shape: tuple[int, ...] = (100, 100)) -> Any:
    return keras.Variable(np.full(shape, value, np.float32))


def test_updates_below_half_a_step_are_lost_by_nearest_and_kept_on_average_by_stochastic_rounding():
    gradient, count = tf.fill([100, 100], -0.1), 10_000
    nearest, stochastic = kernel(0.5), kernel(0.5)
    FixedPointUpdates(keras.optimizers.SGD(1 / 16), 1, 4, rounding="nearest").apply([gradient], [nearest])
    FixedPointUpdates(keras.optimizers.SGD(1 / 16), 1, 4).apply([gradient], [stochastic])
    np.testing.assert_array_equal(nearest, np.full((100, 100), 0.5))  # a tenth of a step
    found = np.asarray(stochastic)
    assert set(np.unique(found)) == {0.5, 0.5625}
    # One step up with probability p = 0.1: the variance of the mean is step^2 p (1 - p) / n.
    bound = 5 / 16 * np.sqrt(0.1 * 0.9 / count)
    assert abs(found.mean(dtype=np.float64) - (0.5 + 0.1 / 16)) < bound


def test_saturation_is_counted_and_only_kernels_are_rounded():
    weight, bias = kernel(0.9, (2, 3)), keras.Variable(np.full(3, 0.3, np.float32))
    optimizer = FixedPointUpdates(keras.optimizers.SGD(1.0), 1, 3)
    assert optimizer.saturated == 0
    gradient = tf.constant([[-9.0, 0.0, 0.0], [0.0, 9.0, 0.0]])
    optimizer.apply([gradient, tf.zeros(3)], [weight, bias])
    assert np.asarray(weight)[0, 0] == 0.875
    assert np.asarray(weight)[1, 1] == -0.875
    # 9.9, -8.1, and 0.9 four times, which lie beyond 7/8 as well.
    assert optimizer.saturated == 6
    np.testing.assert_array_equal(bias, np.full(3, 0.3, np.float32))
    optimizer.apply([tf.zeros((2, 3)), tf.zeros(3)], [weight, bias])
    assert optimizer.saturated == 6


@pytest.mark.parametrize("jit_compile", [False, True])
def test_fit_keeps_kernels_on_the_grid_and_files_keep_the_rest(jit_compile: bool, tmp_path: Path):
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, activation="relu"), keras.layers.Dense(2)])
    optimizer = FixedPointUpdates(keras.optimizers.Adam(0.01), 2, 5, seed=7)
    model.compile(optimizer, "mse", jit_compile=jit_compile)  # pyright: ignore[reportArgumentType]
    x = np.random.default_rng(0).normal(size=(64, 4)).astype(np.float32)
    model.fit(x, x[:, :2], batch_size=8, epochs=2, verbose=0)  # pyright: ignore[reportArgumentType]
    for layer in model.layers:
        steps = np.asarray(layer.kernel) * 32
        np.testing.assert_array_equal(steps, np.rint(steps))
        assert np.abs(steps).max() <= 63
    assert int(np.asarray(optimizer.iterations)) == 16
    optimizer.learning_rate = 0.005
    assert float(np.asarray(optimizer.inner.learning_rate)) == pytest.approx(0.005)
    again = reloaded(model, tmp_path / "model.keras").optimizer
    assert isinstance(again, FixedPointUpdates)
    assert again.get_config() == optimizer.get_config()
    for one, other in zip(optimizer.variables, again.variables, strict=True):
        np.testing.assert_array_equal(np.asarray(one), np.asarray(other))


def test_options_out_of_range():
    with pytest.raises(OptionError, match="rounding='up'"):
        FixedPointUpdates("adam", 1, 7, rounding="up")  # pyright: ignore[reportArgumentType]
    with pytest.raises(OptionError, match=r"integer_bits \+ fraction_bits=20"):
        FixedPointUpdates("adam", 4, 16)
