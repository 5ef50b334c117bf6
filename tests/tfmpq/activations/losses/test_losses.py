from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers

from converters.tflite.reader import load
from tests.support.pipeline import convert_once, residual
from tests.support.uneven_nets import FACTORS, uneven, uneven_images, uneven_model
from tfmpq.activations.losses.losses import SAMPLES, activation_losses


def by_layer(converted, **options):
    losses = activation_losses(converted.graph, converted.network.base.model, converted.samples, **options)
    return {loss.layer: loss for loss in losses}


def test_the_layer_of_uneven_channels_is_found():
    found = by_layer(uneven())
    assert list(found) == ["image", "stem", "wide", "next", "head"]
    wide = found.pop("wide")
    assert (wide.op, wide.output, wide.channels, wide.cure) == ("CONV_2D", False, 16, "equalize")
    assert wide.sqnr_db < 10
    assert wide.by_channel_db > 35
    assert wide.lost_channels >= 2  # a thousandth of the largest is below half a step of 255
    assert all(loss.sqnr_db > 25 and loss.cure == "none" and not loss.lost_channels for loss in found.values())
    assert found["head"].output


def test_decibels_are_those_of_keras_activations_rounded():
    images = uneven_images(32)[:SAMPLES]
    model = uneven_model()
    values = np.asarray(keras.Model(model.inputs[0], model.get_layer("wide").output)(images), np.float64)
    rows = values.reshape(-1, 16)
    quantized = next(op.outputs[0] for op in uneven().int8_graph.ops if "/wide" in op.outputs[0].name)
    codes = np.clip(np.rint(rows / quantized.scale) + quantized.zero_point, -128, 127)
    noise = ((codes - quantized.zero_point) * quantized.scale - rows) ** 2
    # What reads the tensor is a 3x3 convolution, whose outputs count as the head's weights say.
    head = (model.get_layer("head").get_weights()[0].astype(np.float64) ** 2).sum(axis=(0, 1, 3))
    counts = (model.get_layer("next").get_weights()[0].astype(np.float64) ** 2).sum(axis=(0, 1)) @ head
    expected = 10 * np.log10((rows.var(axis=0) @ counts) / (noise.mean(axis=0) @ counts))
    # TensorFlow Lite's float values differ by 1e-7 of the largest, and few come out as another integer.
    assert by_layer(uneven())["wide"].sqnr_db == pytest.approx(expected, abs=0.02)


def test_what_was_tried_is_not_advised_again():
    assert by_layer(uneven(), tried=["equalize", "range"])["wide"].cure == "two points"
    assert FACTORS[-1] > 500  # or nothing would be wrong with it


def test_good_networks_have_no_culprits():
    found = by_layer(residual())
    inner = [loss for loss in found.values() if not loss.output]
    assert len(inner) == 9
    assert all(loss.cure == "none" for loss in inner)


def test_a_mask_and_what_cannot_be_run():
    keras.utils.set_random_seed(0)
    given = layers.Input((12, 16), name="given")
    x = layers.MultiHeadAttention(2, 8, name="attention")(given, given, use_causal_mask=True)
    feeds = [{"given": value} for value in np.random.default_rng(0).normal(size=(8, 1, 12, 16)).astype(np.float32)]
    converted = convert_once(keras.Model(given, layers.Dense(5)(given + x)), feeds)
    losses = activation_losses(converted.graph, converted.network.base.model, feeds)
    (mask,) = [loss for loss in losses if loss.cure == "mask"]
    assert mask.op in ("SELECT_V2", "ADD")
    assert mask.sqnr_db < 1
    assert activation_losses(converted.graph, converted.network.base.model, []) == ()
    broken = load(converted.model.flatbuffer)
    broken.graph.ops[0].outputs[0].shape = (1, 12, 99)
    broken.graph.ops[0].code = 10_000
    assert activation_losses(broken, converted.network.base.model, feeds) == ()


def test_memory_is_bounded_by_several_runs(monkeypatch: pytest.MonkeyPatch):
    whole = activation_losses(uneven().graph, uneven().network.base.model, uneven().samples)
    monkeypatch.setattr("tfmpq.activations.values.inner_values._MEMORY", 5000)  # of one map of 16 channels, 4096 bytes
    assert activation_losses(uneven().graph, uneven().network.base.model, uneven().samples) == whole


def test_an_open_batch():
    feeds = [{"image": image[None]} for image in uneven_images(8)]
    converted = convert_once(uneven_model(), feeds, batch_size=None)
    losses = activation_losses(converted.graph, converted.network.base.model, feeds)
    assert [loss.layer for loss in losses if loss.cure == "equalize"] == ["wide"]
