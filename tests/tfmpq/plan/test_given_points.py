"""Points that come with the model: from Keras' rows to the file's."""

from __future__ import annotations

import functools
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from converters.errors import ModelError, OptionError
from converters.layers.layer import Layer
from converters.lowering.quantized_layer import scale_floor
from converters.points import MultipointWeight, Point, merge
from tests.support.pipeline import Converted, convert_once
from tfmpq.plan.channel_order import up_to_last
from tfmpq.plan.given_points import points_for_file, prefixes, take_given
from tfmpq.plan.settings import match_simulated
from tfmpq.recipe.rules import LayerSettings
from tfmpq.simulation import SimulationSettings
from tfmpq.simulation.points import simulated_points
from tfmpq.simulation.source import SimulatedLayer
from tfmpq.stages import Measured, Rounded

SETTINGS = SimulationSettings(bits=4, share=0.5)
CHANNELS = 6
FACTORS = np.array([1.0, -0.3, 2.0, -1.7, 1e-3, 0.9])


@functools.cache
def network() -> Converted:
    import keras

    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((6, 6, 3), name="image"),
            keras.layers.Conv2D(CHANNELS, 3, name="conv"),
            keras.layers.GlobalAveragePooling2D(name="pool"),
            keras.layers.Dense(4, name="dense"),
        ]
    )
    rng = np.random.default_rng(0)
    samples = [{"image": rng.normal(size=(1, 6, 6, 3)).astype(np.float32)} for _ in range(4)]
    return convert_once(model, samples)


def simulated(settings: SimulationSettings = SETTINGS, **changes: Any) -> SimulatedLayer:
    rows = np.random.default_rng(1).standard_t(4, (CHANNELS, 27)).astype(np.float32)
    return SimulatedLayer(settings, **{"rows": rows, "sign": np.sign(FACTORS), **changes})


def keras_weight(known: SimulatedLayer) -> np.ndarray:
    """float32 (C, d), what the simulated layer computes with."""
    real = simulated_points(known.rows, known.settings, known.sign).weight().reconstruct()
    return (real * known.sign[:, None]).astype(np.float32)


def file_layer(known: SimulatedLayer, factors: np.ndarray = FACTORS, **changes: Any) -> Layer:
    """The layer as a file has it in which a normalization with these factors is folded."""
    weight = (keras_weight(known) * factors[:, None].astype(np.float32)).astype(np.float32)
    return replace(network().layers["conv"], **{"weight": weight, **changes})


def carried(known: SimulatedLayer, layer: Layer) -> tuple[Rounded, MultipointWeight]:
    settings = LayerSettings(known.settings.bits, known.settings.max_points, known.settings.algorithm, "auto")
    found = take_given(Measured(layer, settings, known, network().statistics["conv"]))
    assert found.given_counts is not None
    return found, found.weight(found.given_counts)


@pytest.mark.parametrize("algorithm", ["nearest_radix", "greedy"])
@pytest.mark.parametrize("bits", [2, 3, 4, 5, 8])
def test_codes_are_the_simulated_ones(bits: int, algorithm: str):
    known = simulated(SimulationSettings(bits, 2, algorithm, points=(1, 2, 1, 2, 2, 1)))
    layer = file_layer(known)
    found, weight = carried(known, layer)
    expected = simulated_points(known.rows, known.settings, known.sign).weight()
    assert not found.notes
    assert found.given_counts is not None
    assert found.given_counts.tolist() == [1, 2, 1, 2, 2, 1]
    for ours, theirs in zip(weight.points, expected.points, strict=True):
        np.testing.assert_array_equal(ours.codes, theirs.codes)
        used = theirs.codes.any(axis=1)
        # Two roundings to float32: of the folded weights the factor is taken from, and of the scale.
        np.testing.assert_allclose(ours.scale[used], (theirs.scale * np.abs(FACTORS))[used], rtol=2.0**-22)
    assert (merge(weight) is None) == (merge(expected) is None)
    np.testing.assert_allclose(weight.reconstruct(), layer.weight, rtol=2.0**-20, atol=1e-9)
    assert found.candidates[-1].error.max() < 1e-9


def test_rows_without_a_factor_keep_their_scales():
    known = simulated(sign=np.ones(CHANNELS))
    _, weight = carried(known, file_layer(known, np.ones(CHANNELS)))
    expected = simulated_points(known.rows, known.settings).weight()
    np.testing.assert_array_equal(weight.reconstruct(), expected.reconstruct())


def test_rows_with_the_other_sign_get_points_of_their_own():
    known = simulated(sign=np.ones(CHANNELS))
    found, weight = carried(known, file_layer(known))
    assert len(found.notes) == 1
    assert "'conv': 2 of 6 rows have the other sign" in found.notes[0]
    right = simulated_points(known.rows, known.settings, np.sign(FACTORS)).weight()
    np.testing.assert_array_equal(weight.points[0].codes, right.points[0].codes)


def test_dead_rows():
    """Rows of zeros, and rows that a normalization multiplies by zero."""
    rows = simulated().rows.copy()
    rows[0] = 0
    known = simulated(rows=rows)
    factors = FACTORS.copy()
    factors[3] = 0
    found, weight = carried(known, file_layer(known, factors))
    assert not found.notes
    assert not weight.reconstruct()[[0, 3]].any()
    floor = scale_floor(file_layer(known, factors))
    assert (weight.points[0].scale[[0, 3]] >= floor[[0, 3]]).all()


def test_rows_below_the_smallest_scale():
    """A huge bias: int32 holds it only on a coarser step than the row's own."""
    known = simulated()
    use = network().layers["conv"].uses[0]
    bias = np.zeros(CHANNELS, np.float32)
    bias[2] = 1e8  # beyond what int32 holds, and within what the multiplier allows
    layer = file_layer(known, uses=(replace(use, bias=bias),))
    found, weight = carried(known, layer)
    assert len(found.notes) == 1
    assert "'conv': 1 of 6 rows are so small beside their bias" in found.notes[0]
    floor = scale_floor(layer)
    assert weight.points[0].scale[2] >= floor[2]
    assert np.abs(weight.reconstruct()[2] - layer.weight[2]).max() <= floor[2] / 2


def test_weights_that_are_not_the_simulated_ones():
    known = simulated()
    weight = file_layer(known).weight.copy()
    weight[4, 7] *= 1.01
    for other in (replace(file_layer(known), weight=weight), replace(file_layer(known), weight=weight[:, :9])):
        with pytest.raises(ModelError, match=r"layer 'conv': its weight .* is not the simulated one"):
            points_for_file(other, known)


def test_matching():
    layers = list(network().layers.values())
    known = simulated()
    settings = {layer.name: LayerSettings(4, 2, "nearest_radix", "auto") for layer in layers}
    assert match_simulated(layers, {"conv": known}, settings) == {"conv": known}
    several = [replace(layers[0], name="conv:conv"), replace(layers[0], name="conv:conv:2")]
    by_name = {layer.name: settings["conv"] for layer in several}
    assert set(match_simulated(several, {"conv": known}, by_name)) == {"conv:conv", "conv:conv:2"}
    with pytest.raises(ModelError, match=r"layer 'lost' is simulated .* the file has conv, dense"):
        match_simulated(layers, {"lost": known}, settings)
    for changes in ({"bits": 3}, {"max_points": 3}, {"algorithm": "radix"}):
        with pytest.raises(
            OptionError, match=r"layer 'conv' computes with 4-bit points of 'nearest_radix' \(at most 2\)"
        ):
            match_simulated(layers, {"conv": known}, {**settings, "conv": replace(settings["conv"], **changes)})
    kept = {**settings, "conv": replace(settings["conv"], keep="int8")}
    assert match_simulated(layers, {"conv": known}, kept) == {}


def test_points_of_zeros_fill_up_a_shared_order():
    known = simulated(SimulationSettings(points=(1, 2, 1, 2, 1, 1)))
    found, before = carried(known, file_layer(known))
    order = np.array([0, 1, 2, 3, 4, 5])
    assert found.given_counts is not None
    counts = up_to_last(found.given_counts, order)
    assert counts.tolist() == [2, 2, 2, 2, 1, 1]
    assert up_to_last(found.given_counts, None).tolist() == [1, 2, 1, 2, 1, 1]
    after = found.weight(counts)
    np.testing.assert_array_equal(after.reconstruct(), before.reconstruct())
    assert merge(after) is not None
    assert not found.corrects_bias


def own_points(scale: float = 0.02) -> MultipointWeight:
    """Two points in every second row, on a scale that unused points do not have."""
    rng = np.random.default_rng(2)
    counts = 1 + np.arange(CHANNELS) % 2
    codes = [rng.integers(-7, 8, (CHANNELS, 27)).astype(np.int8) for _ in range(2)]
    codes[1][counts == 1] = 0
    scales = [np.full(CHANNELS, 16 * scale, np.float32), np.where(counts == 2, scale, 1.0).astype(np.float32)]
    return MultipointWeight(tuple(Point(c, s) for c, s in zip(codes, scales, strict=True)), counts, 4)


def test_points_from_anywhere_are_taken_as_they_are():
    layer, weight = network().layers["conv"], own_points()
    known = network().statistics["conv"]
    one, two = prefixes(layer, weight, known)
    np.testing.assert_array_equal(two.codes, np.stack([p.codes for p in weight.points]))
    np.testing.assert_array_equal(one.codes[0], weight.points[0].codes)
    # Rows without a second point may still merge: zeros on their own scale.
    np.testing.assert_array_equal(two.scales[1], np.where(weight.counts == 2, weight.points[1].scale, two.scales[0]))
    settings = LayerSettings(4, 2, "given", "auto")
    found = take_given(Measured(layer, settings, weight, known))
    np.testing.assert_array_equal(found.weight(weight.counts).reconstruct(), weight.reconstruct())
    assert found.merges


def test_scales_under_which_biases_overflow_are_refused():
    layer, weight = network().layers["conv"], own_points(1e-30)
    measured = Measured(layer, LayerSettings(4, 2, "given", "auto"), weight, network().statistics["conv"])
    with pytest.raises(OptionError, match=r"points for layer 'conv': the scale .* of point 0 in row 0 is below"):
        take_given(measured)
