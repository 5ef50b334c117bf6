"""Simulated layers with quantizers in place of the fixed rounding: a new one needs no layer of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

import tfmpq
from converters.points import MultipointWeight, Point
from tests.support.keras_nets import NETS, data, reloaded
from tfmpq.keras import SimulationSettings, annotate
from tfmpq.keras.kernels import kernel_of
from tfmpq.keras.quantizers import LayerToTrain, Quantizers
from tfmpq.keras.simulation import simulate_with
from tfmpq.keras.source import find_wrappers
from tfmpq.simulation.points import channel_rows
from tfmpq.simulation.source import InputCodes


@keras.saving.register_keras_serializable(package="test")
class Signs(keras.layers.Layer):
    """Weights become plus or minus one learned number."""

    trains_weight = True

    def __init__(self, axes: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.axes = tuple(axes)

    def build(self, input_shape: Any) -> None:
        self.size: Any = self.add_weight(shape=(), initializer="ones", name="size")
        self.built = True

    def start(self, weight: np.ndarray) -> None:
        self.size.assign(np.abs(weight).mean())

    def call(self, values: Any, training: bool | None = None) -> Any:
        return tf.where(values < 0, -1.0, 1.0) * tf.convert_to_tensor(self.size)

    def points(self, weight: np.ndarray) -> MultipointWeight:
        rows = channel_rows(weight, self.axes)
        scale = np.full(len(rows), np.asarray(self.size), np.float32)
        return MultipointWeight((Point(np.where(rows < 0, -1, 1).astype(np.int8), scale),), np.ones(len(rows), int), 2)

    def row_signs(self) -> np.ndarray | None:
        return None

    def row_steps(self) -> None:
        return None

    def unfinished(self) -> str:
        return ""

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "axes": list(self.axes)}


@keras.saving.register_keras_serializable(package="test")
class Coarse(keras.layers.Layer):
    """Inputs become multiples of a fixed step."""

    def build(self, input_shape: Any) -> None:
        self.step: Any = self.add_weight(shape=(), initializer="ones", trainable=False, name="step")
        self.built = True

    def start_at(self, values: np.ndarray) -> None:
        assert values.ndim == 1
        self.step.assign(np.abs(values).max() / 7)

    def call(self, values: Any, training: bool | None = None) -> Any:
        step = tf.convert_to_tensor(self.step)
        return tf.clip_by_value(tf.round(values / step), -7.0, 7.0) * step

    def codes(self) -> InputCodes:
        return InputCodes(float(np.asarray(self.step)), -7, 7)

    def int8_scale(self) -> Any:
        return tf.convert_to_tensor(self.step) * 7 / 127


def made(model: Any, x: np.ndarray) -> tuple[Any, list[LayerToTrain]]:
    seen: list[LayerToTrain] = []

    def make(layer: LayerToTrain) -> Quantizers:
        seen.append(layer)
        return Quantizers(SimulationSettings(bits=2, points=1), Signs(layer.channel_axes), Coarse())

    return simulate_with(annotate(model, SimulationSettings(bits=2, points=1)), x, make), seen


def test_layers_compute_with_what_their_quantizers_give():
    model = NETS["separable"]()
    x = data(model)
    simulated, seen = made(model, x)
    assert [(s.path, s.is_end, s.reads_unsigned) for s in seen] == [
        ("stem", True, False),
        ("depthwise", False, True),
        ("project", False, True),
        ("classifier", True, False),
    ]
    stem = find_wrappers(simulated)["stem"]
    assert stem.supports_jit
    # The image lies in -1..1: the step is that of its largest value among the samples.
    step = np.abs(x).max() / 7
    inputs = (np.clip(np.rint(x / step), -7, 7) * step).astype(np.float32)
    kernel = np.asarray(kernel_of(stem.layer))
    weight = np.where(kernel < 0, -1, 1).astype(np.float32) * np.abs(kernel).mean()
    expected = stem.norm(tf.nn.conv2d(inputs, weight, 1, "SAME"))
    np.testing.assert_allclose(np.asarray(stem(x)), np.asarray(expected), rtol=1e-4, atol=1e-5)
    assert {v.name for v in stem.trainable_variables} == {"kernel", "size", "gamma", "beta"}


def test_files_clones_and_conversion_have_the_same(tmp_path: Path):
    model = NETS["shared"]()
    x = data(model)
    simulated, _ = made(model, x)
    loaded = reloaded(simulated, tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded(x).numpy(), simulated(x).numpy())
    clone = keras.models.clone_model(simulated)
    clone.set_weights(simulated.get_weights())
    np.testing.assert_array_equal(clone(x).numpy(), simulated(x).numpy())
    known = tfmpq.prepare(loaded, x, progress=False, sensitivity="energy")
    for weighed in known.weighed:
        (point,) = weighed.weight(np.ones(weighed.layer.channels, np.int64)).points
        assert set(np.unique(point.codes)) == {-1, 1}
