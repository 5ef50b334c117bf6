"""What input quantizers start from: values of the float network, of a bounded number."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from tests.support.keras_nets import NETS, data
from tfmpq.keras import SimulationSettings, annotate
from tfmpq.keras.quantizers import LayerToTrain, Quantizers
from tfmpq.keras.simulation import simulate_with
from tfmpq.keras.source import find_wrappers
from tfmpq.simulation.source import InputCodes


@keras.saving.register_keras_serializable(package="test_input_values")
class Notes(keras.layers.Layer):
    """Leaves inputs as they are, and keeps what it started from."""

    seen: Any = None

    def start_at(self, values: np.ndarray) -> None:
        self.seen = values

    def call(self, values: Any, training: bool | None = None) -> Any:
        return values

    def codes(self) -> InputCodes:
        return InputCodes(1.0, -7, 7)


def started(model: Any, x: np.ndarray, *, every: bool = True) -> dict[str, Any]:
    def make(layer: LayerToTrain) -> Quantizers:
        noted = every or layer.path == "project"
        return Quantizers(layer.settings, None, Notes() if noted else None)

    simulated = simulate_with(annotate(model, SimulationSettings(bits=2, points=1)), x, make)
    found = find_wrappers(simulated)
    assert all(layer.observer is None for layer in found.values())
    return {path: layer.input_quantizer.seen for path, layer in found.items() if layer.input_quantizer is not None}


def read_by(model: Any, name: str, x: np.ndarray) -> np.ndarray:
    return np.asarray(keras.Model(model.input, model.get_layer(name).input)(x)).ravel()


def test_they_are_those_of_the_float_network_whatever_weights_are_rounded_to():
    model = NETS["separable"]()
    x = data(model)[:6]
    seen = started(model, x)
    for name in ("stem", "depthwise", "project", "classifier"):
        # The float network computes all samples at once: sums in another order.
        expected = np.sort(read_by(model, name, x))
        assert expected.size < 6 * 4096  # all values are there
        np.testing.assert_allclose(np.sort(seen[name]), expected, rtol=1e-4, atol=1e-5)
    # 2-bit weights of the other layers make no difference, nor do their inputs of 8 bits.
    np.testing.assert_array_equal(started(model, x, every=False)["project"], seen["project"])


def test_of_large_inputs_some_are_drawn_the_same_every_time():
    inputs = keras.Input((128, 128, 3), name="image")
    outputs = keras.layers.Conv2D(2, 3, strides=4, name="conv")(inputs)
    model = keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(outputs))
    x = np.random.default_rng(0).uniform(-1, 1, (3, 128, 128, 3)).astype(np.float32)
    seen = started(model, x)["conv"]
    assert seen.shape == (3 * 4096,)
    assert np.isin(seen, x).all()
    # Of a uniform distribution; the standard error of the mean is 1 / sqrt(3 * 12288) = .005.
    assert abs(seen.mean()) < 0.025
    np.testing.assert_array_equal(started(model, x)["conv"], seen)
