"""Equalization in whole conversions."""

from __future__ import annotations

from functools import cache

import keras
import numpy as np
import pytest
from keras import layers

import tfmpq
from converters.rewriting.channel_scales import channel_scales
from converters.tflite.reader import load
from tests.support.pipeline import run_real
from tests.support.uneven_channels import CHANNELS, SIDE, images, uneven
from tfmpq.activations.equalization import equalize as equalization
from tfmpq.activations.equalization.limits import factor_bounds
from tfmpq.activations.values.statistics import ChannelStatistics


@cache
def converted(equalize: str = "auto", activation: str = "leaky_relu") -> tfmpq.ConversionResult:
    return tfmpq.convert(uneven(activation), images(48), bits=8, equalize=equalize, ranges="minmax", progress=False)  # pyright: ignore


def decibels(result: tfmpq.ConversionResult, content: bytes) -> float:
    feeds = [{name: image[None]} for image in images(32, seed=1) for name, _ in load(content).signatures[0].inputs]
    real, other = (run_real(c, feeds)[0].astype(np.float64) for c in (result.float_model, content))
    return float(10 * np.log10(np.square(real).sum() / np.square(real - other).sum()))


def test_uneven_channels_gain() -> None:
    mended, plain = converted(), converted("off")
    assert len(mended.tflite_model) < 1.02 * len(plain.tflite_model)
    # One scale for channels a factor of 100 apart costs more than 10 dB; what is left is 8-bit noise.
    assert decibels(mended, mended.tflite_model) > decibels(plain, plain.tflite_model) + 8
    assert decibels(mended, mended.stock_model) == decibels(plain, plain.stock_model)  # stock is the user's model's


def test_off_leaves_the_file_as_it_was() -> None:
    def steps(content: bytes) -> list[np.ndarray]:
        return [t.quantization.scale for op in load(content).graph.ops for t in op.outputs if t.quantization]

    plain = converted("off")
    assert all(np.array_equal(a, b) for a, b in zip(steps(plain.tflite_model), steps(plain.stock_model), strict=True))


def test_a_rule_keeps_a_layer_as_it_is() -> None:
    recipe = tfmpq.Recipe([tfmpq.Rule("^wide$", equalize="off")])
    kept = tfmpq.convert(uneven(), images(48), bits=8, recipe=recipe, ranges="minmax", progress=False)

    def step(content: bytes, name: str) -> float:
        graph = load(content).graph
        return next(op.outputs[0].scale for op in graph.ops if op.name == name)

    assert step(kept.tflite_model, "CONV_2D") == step(kept.stock_model, "CONV_2D")
    assert step(kept.tflite_model, "DEPTHWISE_CONV_2D") != step(kept.stock_model, "DEPTHWISE_CONV_2D")


def test_nothing_to_scale_leaves_the_file_as_it_was() -> None:
    keras.utils.set_random_seed(0)
    x = layers.Input((SIDE, SIDE, 3))
    model = keras.Model(x, layers.Conv2D(5, 3)(x))
    mended, plain = (tfmpq.convert(model, images(40), equalize=e, progress=False) for e in ("auto", "off"))  # pyright: ignore
    assert mended.tflite_model == plain.tflite_model


def test_given_points_keep_their_weights() -> None:
    result = tfmpq.convert(
        uneven(), images(48), points={"next": _points(uneven(), "next")}, ranges="minmax", progress=False
    )
    steps = [
        [op.outputs[0].scale for op in load(content).graph.ops if op.outputs[0].shape == (1, 8, 8, CHANNELS)]
        for content in (result.tflite_model, result.stock_model)
    ]
    assert steps[0] == pytest.approx(steps[1], rel=1e-5)  # float32 sums of scaled values
    assert decibels(result, result.tflite_model) > decibels(result, result.stock_model) - 3


def _points(model: keras.Model, name: str) -> tfmpq.MultipointWeight:
    rows = model.get_layer(name).get_weights()[0].reshape(-1, CHANNELS).T
    scale = (np.abs(rows).max(1) / 127).astype("float32")
    codes = np.round(rows / scale[:, None]).astype("int8")
    return tfmpq.MultipointWeight((tfmpq.Point(codes, scale),), np.ones(CHANNELS, np.int64), 8)


@pytest.mark.parametrize("activation", ["relu6"])
def test_caps_hold_on_unseen_images(activation: str) -> None:
    mended, plain = converted(activation=activation), converted("off", activation)
    assert decibels(mended, mended.tflite_model) > decibels(plain, plain.tflite_model) - 0.3


def test_channels_of_which_little_is_seen_stay_far_below_a_cap() -> None:
    """A few values are what is known of one channel, and none of another."""
    graph = load(converted(activation="relu6").float_model).graph
    scales = channel_scales(graph)
    (capped, *_) = scales.caps
    quiet = np.zeros(CHANNELS)
    known = ChannelStatistics(quiet, quiet + 1, quiet + 0.3, quiet + 0.15, 10_000)
    known.high[:2], known.mean[:2], known.square[:2] = (0.01, 0), (1e-6, 0), (3e-8, 0)
    bounds = factor_bounds(scales, {capped: known})
    seen, never, usual = bounds.upper[scales.variables[capped][:3]]
    assert never == 1
    assert seen * 0.01 < 0.75 * usual
    assert 4 < usual < 0.95 * 6


def test_the_same_bytes_again() -> None:
    again = tfmpq.convert(uneven("leaky_relu"), images(48), bits=8, ranges="minmax", progress=False)
    assert again.tflite_model == converted().tflite_model


def test_without_gradients_it_gains_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(equalization, "activation_gradients", lambda *_, **__: "no counterpart")
    result = tfmpq.convert(uneven(), images(48), bits=8, ranges="minmax", progress=False)
    assert decibels(result, result.tflite_model) > decibels(result, result.stock_model) + 8


def test_names_of_grouped_layers_survive() -> None:
    """TensorFlow drops them: they are told by their kernels, which equalization changes."""
    keras.utils.set_random_seed(0)
    x = layers.Input((SIDE, SIDE, 4))
    branches = []
    for name in ("b", "a"):
        h = layers.Conv2D(8, 1, activation="relu")(x)
        branches.append(layers.Conv2D(8, 3, groups=2, use_bias=False, name=f"grouped_{name}")(h))
    model = keras.Model(x, layers.Conv2D(3, 1, name="head")(layers.Subtract()(branches)))
    data = np.random.default_rng(0).normal(size=(40, SIDE, SIDE, 4)).astype("float32")
    result = tfmpq.convert(model, data, progress=False)
    assert any(entry.kind == "equalized" for entry in result.report.mended)
    shapes = {layer.name: layer.shape for layer in result.report.layers}
    assert {"grouped_a", "grouped_b", "head"} <= set(shapes)


def test_a_range_by_hand_is_of_the_models_own_values() -> None:
    recipe = tfmpq.Recipe([tfmpq.Rule("^wide$", range=(-3.0, 3.0))])
    result = tfmpq.convert(uneven("relu"), images(48), bits=8, recipe=recipe, progress=False)
    first = next(op.outputs[0] for op in load(result.tflite_model).graph.ops if op.name == "CONV_2D")
    assert first.scale == pytest.approx(6 / 255, rel=1e-6)
    assert any(entry.kind == "equalized" for entry in result.report.mended)  # others are
