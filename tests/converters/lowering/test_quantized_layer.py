"""The scale floor keeps biases and multipliers within what every kernel can hold."""

from __future__ import annotations

import numpy as np
import pytest

import tfmpq
from converters.layers.find import find_layers
from converters.layers.names import LayerNames
from converters.lowering.quantized_layer import BIAS_LIMIT, scale_floor
from converters.tflite.reader import load


@pytest.fixture(scope="module")
def dead_channels():
    """A pointwise net whose first layer has dead (BN-folded) channels with large biases, as MobileNetV1's has."""
    import keras

    keras.utils.set_random_seed(3)
    model = keras.Sequential(
        [
            keras.Input((6, 6, 8)),
            keras.layers.Conv2D(16, 1, activation="relu6", name="stem"),
            keras.layers.Conv2D(32, 1, activation="relu6", name="narrow"),
            keras.layers.Conv2D(16, 1, activation="relu", name="middle"),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(5, name="head"),
        ]
    )
    for name in ("narrow", "middle"):
        kernel, bias = model.get_layer(name).get_weights()
        kernel[..., 1] *= 1e-13
        kernel[..., 2] *= 1e-7
        kernel[..., 3] = 0
        bias[1:4] = [-1.2, 5.0, 2.5]
        model.get_layer(name).set_weights([kernel, bias])
    data = np.random.default_rng(0).normal(size=(40, 6, 6, 8)).astype(np.float32)
    return model, data


@pytest.mark.parametrize("lowering", ["parallel", "fused"])
def test_dead_channels_with_large_biases_convert(dead_channels, lowering: str):
    """With a floor at 2^30 the INT4 kernels' sums wrap around; validation inside convert runs all three kernel sets."""
    model, data = dead_channels
    recipe = tfmpq.Recipe([tfmpq.Rule(match="narrow|middle", bits=4)])
    result = tfmpq.convert(
        model, data, lowering=lowering, recipe=recipe, budget=tfmpq.ExtraBits(0.3), sensitivity="energy", progress=False
    )
    layers, _ = find_layers(
        load(result.float_model).graph, load(result.stock_model).graph, names=LayerNames(keras_generation=3)
    )
    layer = next(layer for layer in layers if layer.name.endswith("narrow"))
    bias = np.abs(layer.uses[0].bias.astype(np.float64))
    steps = bias / (layer.uses[0].int8_input.scale * scale_floor(layer))
    assert steps[1:4].max() <= BIAS_LIMIT
    # The floor binds for the dead channels: without it their own scale would be far smaller.
    assert (np.abs(layer.weight[1:4]).max(1) / 7 < scale_floor(layer)[1:4]).all()
    emitted = load(result.tflite_model)
    biases = [t.array() for op in emitted.graph.ops for t in op.inputs if t is not None and t.data and t.type == 2]
    assert max(int(np.abs(b.astype(np.int64)).max()) for b in biases if b.ndim == 1) <= BIAS_LIMIT * 1.01
