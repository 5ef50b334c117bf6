"""Activations rounded in Keras as an int8 tensor holds them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tests.support.keras_nets import reloaded
from tfmpq.keras.int8_values import Int8Values, int8_rounded

STEPS = {"scale": 0.1, "zero_point": -28}  # -10..15.5


def test_values_are_those_of_the_tensor():
    values = np.linspace(-15, 20, 3001, dtype=np.float32)
    steps = np.clip(np.rint(values.astype(np.float64) / 0.1) - 28, -128, 127)
    found = np.asarray(int8_rounded(values, **STEPS))
    ties = np.abs(np.abs(values / 0.1 % 1) - 0.5) < 1e-3  # see below
    np.testing.assert_allclose(found[~ties], ((steps + 28) * 0.1)[~ties], atol=1e-5)
    assert len(np.unique(np.rint(found / 0.1))) == 256


def test_ties_go_up():
    scale, odd = np.float32(6 / 255), np.arange(-101, 102, 2)
    values = odd.astype(np.float32) * scale + 3 * np.float32(12 / 255)  # as a sum has them, not exact in float32
    found = np.asarray(int8_rounded(values, 12 / 255, 0))
    np.testing.assert_array_equal(np.rint(found / (12 / 255)), (odd + 1) // 2 + 3)


def test_gradients_pass_within_the_range():
    with tf.GradientTape() as tape:
        x = tf.constant([-11.0, 0.04, 15.0, 16.0])
        tape.watch(x)
        loss = tf.reduce_sum(int8_rounded(x, **STEPS))
    gradient: Any = tape.gradient(loss, x)
    np.testing.assert_array_equal(gradient, [0, 1, 1, 0])


def test_without_a_scale_or_with_an_observer_values_stay():
    x = np.array([0.123, 99.0], np.float32)
    np.testing.assert_array_equal(np.asarray(Int8Values()(x)), x)
    layer, seen = Int8Values(**STEPS), []
    layer.observer = seen.append
    np.testing.assert_array_equal(np.asarray(layer(x)), x)
    np.testing.assert_array_equal(np.asarray(seen[0]), x)
    layer.observer = None
    assert np.asarray(layer(x))[1] != x[1]


def test_a_file_keeps_the_steps(tmp_path: Path):
    model = keras.Sequential([keras.Input((2,)), Int8Values(**STEPS, name="rounding")])
    again = reloaded(model, tmp_path / "model.keras").get_layer("rounding")
    assert (again.scale, again.zero_point) == (0.1, -28)
    np.testing.assert_allclose(again.range(), (-10.0, 15.5))
