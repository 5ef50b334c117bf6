"""Predicted noise of int8 activations against that of the integers themselves."""

from __future__ import annotations

import keras
import numpy as np
from keras import layers

from converters.frontend.load import load_model
from converters.rewriting.channel_scales import FIXED, channel_scales
from converters.rewriting.scaled import scaled
from converters.tflite.probe import probe
from converters.tflite.reader import load
from tests.support.pipeline import run_real
from tfmpq.activations.equalization.descent import predicted_noise
from tfmpq.activations.equalization.noise_model import noise_model
from tfmpq.activations.values.statistics import channel_statistics

SIDE = 8


def test_noise_of_a_scaled_activation_is_that_of_its_rounding() -> None:
    keras.utils.set_random_seed(0)
    x = layers.Input((SIDE, SIDE, 3))
    h = layers.LeakyReLU()(layers.Conv2D(6, 3, name="first")(x))
    model = load(load_model(keras.Model(x, layers.Conv2D(4, 1)(h))).flatbuffer)
    rng = np.random.default_rng(0)
    name = model.signatures[0].inputs[0][0]
    feeds = [{name: rng.normal(size=(1, SIDE, SIDE, 3)).astype("float32")} for _ in range(16)]
    scales = channel_scales(model.graph)
    inner = next(op for op in model.graph.ops if op.name == "LEAKY_RELU").outputs[0]
    counts = {inner: np.linspace(1, 2, 6)}
    terms = noise_model(model.graph, scales, channel_statistics(model, feeds), counts, {})

    for seed in range(3):
        factors = np.exp(np.random.default_rng(seed).normal(0, 0.4, scales.count))
        factors[FIXED] = 1
        changed = scaled(model, scales, factors)
        (twin,) = [t for op in changed.graph.ops for t in op.outputs if t.name == inner.name]
        values = run_real(probe(changed, [twin]), feeds)[0].astype(np.float64)
        step = (values.max() - values.min()) / 255
        errors = (np.round(values / step) * step - values) / factors[scales.variables[inner]]
        noise = float((np.square(errors).mean(axis=tuple(range(values.ndim - 1))) * counts[inner]).sum())
        # Rounding errors are spread evenly over a step up to the few hundred values a channel has.
        assert np.isclose(predicted_noise(terms, factors).total, noise, rtol=0.08)


def test_operators_that_keep_integers_add_no_noise() -> None:
    keras.utils.set_random_seed(0)
    x = layers.Input((SIDE, SIDE, 3))
    h = layers.Conv2D(6, 3, activation="relu")(x)
    h = layers.Concatenate()([layers.MaxPooling2D(3, 1, padding="same")(h), h])
    model = load(load_model(keras.Model(x, layers.Conv2D(4, 1)(layers.Flatten()(h)[:, None, None]))).flatbuffer)
    rng = np.random.default_rng(0)
    name = model.signatures[0].inputs[0][0]
    feeds = [{name: rng.normal(size=(1, SIDE, SIDE, 3)).astype("float32")} for _ in range(2)]
    scales = channel_scales(model.graph)
    statistics = channel_statistics(model, feeds)
    counts = {tensor: np.ones(tensor.shape[-1]) for tensor in statistics}
    terms = noise_model(model.graph, scales, statistics, counts, {})
    noisy = [scale for scale in terms.scales if scale.weights.any()]
    assert len(noisy) == 3  # the input, the convolution with all that moves its values, the output


def test_layers_of_few_bits_are_noisier() -> None:
    keras.utils.set_random_seed(0)
    x = layers.Input((20,))
    model = load(load_model(keras.Model(x, layers.Dense(8)(layers.Dense(30, activation="relu")(x)))).flatbuffer)
    name = model.signatures[0].inputs[0][0]
    feeds = [{name: np.random.default_rng(i).normal(size=(1, 20)).astype("float32")} for i in range(8)]
    scales = channel_scales(model.graph)
    statistics = channel_statistics(model, feeds)
    last = model.graph.ops[-1].outputs[0]
    counts = {last: np.ones(8)}
    noise = {}
    for bits in (3, 4, 8):
        terms = noise_model(model.graph, scales, statistics, counts, {last.name: bits})
        noise[bits] = float(predicted_noise(terms, np.ones(scales.count)).weights.sum())
    # A bit is a factor of four, less for clipped rows of few levels; 8-bit rows are not clipped.
    assert 2.5 < noise[3] / noise[4] < 4
    assert 30 < noise[4] / noise[8] < 800


def test_rows_that_were_int8_before_are_known_for_it() -> None:
    keras.utils.set_random_seed(0)
    x = layers.Input((SIDE, SIDE, 3))
    last = layers.Conv2D(4, 1)
    network = keras.Model(x, last(layers.Conv2D(24, 3, activation="relu")(x)))
    kernel, bias = last.get_weights()
    rows = np.moveaxis(kernel, -1, 0)  # views: two of four rows are what int8 made of them
    for row in rows[:2]:
        step = np.abs(row).max() / 127
        row[:] = (np.rint(row / step) * step).astype("float32")
    last.set_weights([kernel, bias])
    model = load(load_model(network).flatbuffer)
    name = model.signatures[0].inputs[0][0]
    feeds = [{name: np.random.default_rng(0).normal(size=(1, SIDE, SIDE, 3)).astype("float32")}]
    statistics = channel_statistics(model, feeds)
    counts = {tensor: np.ones(tensor.shape[-1]) for tensor in statistics}
    written = model.graph.ops[-1].outputs[0].name
    for bits, expected in ((8, [True, True, False, False]), (4, [False] * 4)):
        terms = noise_model(model.graph, channel_scales(model.graph), statistics, counts, {written: bits})
        assert terms.roundings[-1].on_grid.ravel().tolist() == expected
