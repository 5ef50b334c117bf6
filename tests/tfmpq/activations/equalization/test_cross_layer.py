"""Cross-layer equalization: even ranges, and the same network."""

from __future__ import annotations

import itertools
from typing import Literal

import keras
import numpy as np
import pytest
from keras import layers

import tfmpq
from tfmpq.activations.equalization.cross_layer import _Weights, cross_layer_factors
from tfmpq.activations.equalization.descent import Bounds


def chain(widths: list[int], seed: int = 0) -> list[_Weights]:
    """Dense layers after one another; variable 0 is fixed: the inputs, and the outputs of the last."""
    rng = np.random.default_rng(seed)
    numbers, first = [np.zeros(widths[0], int)], 1
    for width in widths[1:-1]:
        numbers.append(np.arange(first, first + width))
        first += width
    numbers.append(np.zeros(widths[-1], int))
    return [
        _Weights(np.abs(rng.lognormal(0, 2, (1, after, before))), rows[None], columns[None])
        for before, after, columns, rows in zip(widths, widths[1:], numbers, numbers[1:], strict=False)
    ]


def unbounded(count: int) -> Bounds:
    return Bounds(np.zeros(count), np.full(count, np.inf))


def test_a_pair_has_the_papers_factor():
    first, second = chain([3, 4, 2])
    factors = cross_layer_factors([first, second], 5, unbounded(5))
    r1, r2 = first.weight[0].max(axis=1), second.weight[0].max(axis=0)
    s = np.sqrt(r1 * r2) / r2  # what the paper divides a channel by
    np.testing.assert_allclose(factors[1:], 1 / s)
    np.testing.assert_allclose(r1 / s, r2 * s)  # even ranges
    assert factors[0] == 1


def test_a_chain_comes_to_rest_with_even_ranges():
    weights = chain([3, 5, 6, 4, 2])
    factors = cross_layer_factors(weights, 16, unbounded(16))
    scaled = [w.weight * factors[w.rows][:, :, None] / factors[w.columns][:, None] for w in weights]
    for before, after in itertools.pairwise(scaled):
        np.testing.assert_allclose(before[0].max(axis=1), after[0].max(axis=0), rtol=0.02)


def test_bounds_hold_and_channels_of_several_layers_stay():
    first, second = chain([3, 4, 2])
    bounds = Bounds(np.full(5, 0.9), np.full(5, 1.1))
    assert cross_layer_factors([first, second], 5, bounds)[1:] == pytest.approx(
        np.clip(cross_layer_factors([first, second], 5, unbounded(5))[1:], 0.9, 1.1)
    )
    twice = cross_layer_factors([first, second, second], 5, unbounded(5))  # two readers: no pair
    assert (twice == 1).all()


def test_the_network_stays_and_weights_gain():
    """Channels of very uneven size between two layers: 4-bit rows of the second see only its largest columns."""
    keras.utils.set_random_seed(0)
    x = layers.Input((8, 8, 3))
    h = layers.Conv2D(16, 1, activation="relu", name="first")(x)
    h = layers.Conv2D(16, 1, activation="relu", name="second")(h)
    model = keras.Model(x, layers.Dense(4, name="last")(layers.GlobalAveragePooling2D()(h)))
    size = np.logspace(-1.0, 1.0, 16).astype("float32")
    kernel, bias = model.get_layer("first").get_weights()
    model.get_layer("first").set_weights([kernel / size, bias])
    kernel, bias = model.get_layer("second").get_weights()
    model.get_layer("second").set_weights([kernel * size[:, None], bias])
    data = np.random.default_rng(0).normal(size=(40, 8, 8, 3)).astype("float32")
    recipe = tfmpq.Recipe([tfmpq.Rule("second", bits=4)])

    def noise(mode: Literal["off", "cross_layer"]) -> float:
        result = tfmpq.convert(
            model, data, bits=8, algorithm="nearest_bias", equalize=mode, ranges="minmax", recipe=recipe, progress=False
        )
        samples = tfmpq.Labelled({"x": data}, None)
        found = tfmpq.evaluate(result.tflite_model, samples, against=result.float_model).against
        assert found is not None
        return found.sqnr_db[0]

    assert noise("cross_layer") > noise("off") + 5
