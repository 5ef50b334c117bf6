"""Statistics against direct computation, and memory that does not grow."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from converters.frontend.load import load_model
from converters.frontend.tf_converter import int8_twin
from converters.layers.find import find_layers
from converters.layers.im2col import Reading
from converters.tflite.graph import TensorType
from converters.tflite.reader import load
from tfmpq.data.representative import check_samples
from tfmpq.measure import input_sums
from tfmpq.measure import moments as calibration
from tfmpq.measure import sums as running
from tfmpq.measure.input_sums import Moments, pooled_tensor
from tfmpq.measure.moments import collect_statistics


@pytest.fixture(scope="module")
def net() -> Any:
    """One layer of every kind on small maps, so that every output position counts; returns what the tests need."""
    import keras

    keras.utils.set_random_seed(5)
    source = keras.Input((7, 6, 4), name="image")
    k = keras.layers
    x = k.Conv2D(6, 3, strides=2, padding="same", activation="relu", name="conv")(source)
    x = k.DepthwiseConv2D(3, depth_multiplier=2, padding="same", activation="relu", name="depthwise")(x)
    x = k.Conv2D(8, 1, groups=2, activation="relu", name="grouped")(x)
    x = k.Conv2DTranspose(4, 3, strides=2, padding="same", name="transposed")(x)
    dense = k.Dense(5, name="dense")(k.GlobalAveragePooling2D()(x))
    model = keras.Model(source, dense)
    # Far from zero with little variance: the covariance of the first layer would drown in plain float32 sums.
    images = (np.random.default_rng(2).normal(size=(12, 7, 6, 4)) * 0.3 + 40).astype(np.float32)
    floats = load_model(model)
    data = check_samples(images, floats.inputs)
    graph = load(floats.flatbuffer)
    layers, _ = find_layers(graph.graph, load(int8_twin(floats, data)).graph, names=floats.names)
    return model, images, graph, layers, data


def inputs_of(model: Any, images: np.ndarray) -> dict[str, np.ndarray]:
    """Keras's own input of every layer."""
    import keras

    names = ["conv", "depthwise", "grouped", "transposed", "dense"]
    tap = keras.Model(model.inputs, [model.get_layer(n).input for n in names])
    return dict(zip(names, [np.asarray(v) for v in tap([images])], strict=True))


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    """The samples' own covariances: what shrinkage makes of them is tested on its own."""
    monkeypatch.setattr(running, "shrink", lambda own, variance, target=None: (own, np.zeros(len(own))))


@pytest.mark.usefixtures("plain")
def test_outputs_follow_from_the_statistics_of_inputs(net: Any):
    """W E[x] and W Cov W^T are the mean and variance of the layer's outputs, computed here by Keras itself."""
    import keras

    model, images, graph, layers, data = net
    found = collect_statistics(graph, layers, data, data.count)
    taps = inputs_of(model, images)
    assert [layer.name for layer in layers] == list(taps)
    for layer in layers:
        keras_layer = model.get_layer(layer.name)
        linear = keras_layer.__class__.from_config({**keras_layer.get_config(), "activation": "linear"})
        linear.build(taps[layer.name].shape)
        linear.set_weights(keras_layer.get_weights())
        outputs = np.asarray(keras.ops.convert_to_numpy(linear(taps[layer.name])), np.float64)
        outputs = outputs.reshape(-1, outputs.shape[-1])
        known = found[layer.name]
        rows = layer.weight.astype(np.float64).reshape(layer.groups, -1, layer.weight.shape[1])
        mean = np.einsum("grd,gd->gr", rows, known.means[0]).reshape(-1) + layer.uses[0].bias
        variance = np.einsum("grd,gde,gre->gr", rows, known.covariance, rows).reshape(-1)
        # float32 activations of size 40 carry an error of about 2e-6; sums over d of them some 1e-5.
        np.testing.assert_allclose(mean, outputs.mean(0), rtol=2e-5, atol=2e-4)
        np.testing.assert_allclose(variance, outputs.var(0), rtol=2e-3, atol=1e-6 * outputs.var(0).max())
        assert known.positions == len(outputs) or layer.kind.per_channel


def test_quantized_means_are_those_of_rounded_inputs(net: Any):
    model, images, graph, layers, data = net
    layer = next(layer for layer in layers if layer.name == "dense")
    source = layer.uses[0].int8_input
    values = inputs_of(model, images)["dense"].astype(np.float64)
    rounded = np.rint(values / source.scale) * source.scale
    known = collect_statistics(graph, [layer], data, data.count)["dense"]
    # One position a sample: the stride that thins positions for this figure takes them all.
    np.testing.assert_allclose(known.quantized_means[0, 0], rounded.mean(0), atol=source.scale * 1e-3)
    assert np.abs(known.quantized_means - known.means).max() > source.scale * 0.01


def test_several_passes_give_what_one_gives(net: Any, monkeypatch: pytest.MonkeyPatch):
    _, _, graph, layers, data = net
    together = collect_statistics(graph, layers, data, data.count)
    labels: list[str] = []

    def progress(items: Any, total: int, what: str) -> Any:
        labels.append(what)
        return items

    monkeypatch.setattr(calibration, "MEMORY_CAP", 1)
    alone = collect_statistics(graph, layers, data, data.count, progress=progress)
    assert labels == [f"statistics {i}/{len(layers)}" for i in range(1, len(layers) + 1)]
    for name, known in together.items():
        np.testing.assert_array_equal(known.covariance, alone[name].covariance)
        np.testing.assert_array_equal(known.means, alone[name].means)


def test_means_over_positions_are_drawn_towards_the_covariance_of_positions(net: Any):
    model, images, graph, layers, data = net
    found = collect_statistics(graph, layers, data, data.count)
    import keras

    pooled = model.layers[-2]
    assert isinstance(pooled, keras.layers.GlobalAveragePooling2D)
    positions = np.asarray(keras.Model(model.inputs, pooled.input)([images]), np.float64)
    dense = layers[-1]
    assert pooled_tensor(graph.graph, dense.uses[0].float_input) is not None
    assert all(pooled_tensor(graph.graph, layer.uses[0].float_input) is None for layer in layers[:-1])
    known, own = found["dense"], np.cov(positions.mean((1, 2)).T, bias=True)
    share = known.shrinkage[0]
    assert 0 < share <= 1
    assert np.trace(known.covariance[0]) == pytest.approx(np.trace(own), rel=1e-3)
    # What is mixed in resembles the covariance of positions (itself shrunk a little) more than inputs on their own.
    mixed = known.covariance[0] - (1 - share) * own
    guess, alone = np.cov(positions.reshape(-1, 4).T, bias=True), np.diag(np.diag(own))
    unlike = [np.linalg.norm(mixed / np.trace(mixed) - g / np.trace(g)) for g in (guess, alone)]
    assert unlike[0] < 0.5 * unlike[1]


@pytest.mark.usefixtures("plain")
def test_wide_layers_keep_blocks_of_the_covariance(net: Any, monkeypatch: pytest.MonkeyPatch):
    _, _, graph, layers, data = net
    full = collect_statistics(graph, layers, data, data.count)
    monkeypatch.setattr(input_sums, "MAX_FULL_COLUMNS", 8)
    monkeypatch.setattr(input_sums, "SMALL_COLUMNS", 8)
    blocks = collect_statistics(graph, layers, data, data.count)
    split_up = {name for name in full if blocks[name].covariance.shape != full[name].covariance.shape}
    assert split_up == {layer.name for layer in layers if layer.columns > 8 and layer.groups == 1}
    assert all(full[name].blocks == 1 for name in full)
    for name, known in blocks.items():
        assert known.blocks == (len(known.covariance) if name in split_up else 1)
        same = full[name].covariance[0]
        np.testing.assert_allclose(known.means, full[name].means, rtol=1e-12)
        np.testing.assert_allclose(known.power(), full[name].power(), rtol=1e-9)
        if name in split_up:
            width = known.covariance.shape[1]
            second = full[name].second_moment()[0]
            for number, (found, raw) in enumerate(zip(known.covariance, known.second_moment(), strict=True)):
                part = slice(number * width, min((number + 1) * width, len(same)))
                size = part.stop - part.start
                # Sums of the same rows on the same grid.
                np.testing.assert_allclose(found[:size, :size], same[part, part], atol=1e-12 * same.max())
                np.testing.assert_allclose(raw[:size, :size], second[part, part], atol=1e-12 * second.max())
                assert not found[size:].any()


def test_little_is_asked_of_few_images(monkeypatch: pytest.MonkeyPatch):
    """Dense layers that flatten a map have one position an image."""
    monkeypatch.setattr(input_sums, "SMALL_COLUMNS", 16)
    monkeypatch.setattr(input_sums, "_FEW_COLUMNS", 8)
    layer: Any = SimpleNamespace(columns=64, groups=1, reads_float=False)
    source: Any = SimpleNamespace(scale=0.1, zero_point=0, type=TensorType.INT8)
    for positions, samples, limit, blocks in ((1, 20, 100, 8), (1, 40, 100, 1), (1, 20, 32, 8), (9, 20, 32, 4)):
        monkeypatch.setattr(input_sums, "MAX_FULL_COLUMNS", limit)
        sums = Moments(layer, source, None, samples)
        sums.add(np.random.default_rng(0).normal(size=(1, positions, 64)).astype(np.float32))
        assert len(sums.rows.total) == blocks


def test_positions_of_large_maps_are_thinned_reproducibly(net: Any, monkeypatch: pytest.MonkeyPatch):
    _, _, graph, layers, data = net
    monkeypatch.setattr(calibration, "_MIN_POSITIONS", 3)
    monkeypatch.setattr(calibration, "_MAX_POSITIONS", 3)
    layer = [layer for layer in layers if layer.name == "conv"]
    first = collect_statistics(graph, layer, data, data.count, seed=1)["conv"]
    again = collect_statistics(graph, layer, data, data.count, seed=1)["conv"]
    other = collect_statistics(graph, layer, data, data.count, seed=2)["conv"]
    assert first.positions == 3 * data.count
    np.testing.assert_array_equal(first.covariance, again.covariance)
    assert (first.covariance != other.covariance).any()


def test_memory_does_not_grow_with_the_samples(net: Any):
    _, images, graph, layers, _ = net

    def peak(count: int) -> int:
        def samples() -> Iterator[dict[str, np.ndarray]]:
            rng = np.random.default_rng(0)
            for _ in range(count):
                yield {"image": rng.normal(size=(1, *images.shape[1:])).astype(np.float32)}

        tracemalloc.start()
        collect_statistics(graph, layers, samples, count)
        _, highest = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return highest

    peak(5)  # imports and caches
    # 400 more samples of 672 bytes held as float64 patches would add megabytes.
    assert peak(420) < peak(20) + 200_000


@pytest.mark.usefixtures("plain")
def test_rounding_of_maps_and_uses_of_shared_layers():
    """Every use has its own means, of every fourth position for the rounding; the covariance is their average."""
    import keras

    keras.utils.set_random_seed(6)
    k = keras.layers
    source = keras.Input((5, 6, 4), name="image")
    shared = k.Conv2D(4, 2, strides=(1, 2), name="shared")
    wide = k.Conv2D(4, 1, activation="relu", name="first")(source)
    model = keras.Model(source, k.Concatenate()([shared(source), shared(wide)]))
    images = np.random.default_rng(8).normal(size=(6, 5, 6, 4)).astype(np.float32)
    floats = load_model(model)
    data = check_samples(images, floats.inputs)
    graph = load(floats.flatbuffer)
    layers, _ = find_layers(graph.graph, load(int8_twin(floats, data)).graph, names=floats.names)
    layer = next(layer for layer in layers if layer.name == "shared")
    known = collect_statistics(graph, layers, data, data.count)["shared"]
    tap = np.asarray(keras.Model(source, wide)(images))
    given = {use.float_input in graph.graph.inputs: i for i, use in enumerate(layer.uses)}
    covariances = []
    for values, use in ((images, given[True]), (tap, given[False])):
        rows = layer.kind.patches(values.astype(np.float64), Reading(layer.geometry, 16))[0].reshape(6, 12, 16)
        flat = rows.reshape(-1, 16)
        np.testing.assert_allclose(known.means[use, 0], flat.mean(0), atol=1e-6)
        covariances.append(np.cov(flat.T, bias=True))
        step = layer.uses[use].int8_input.scale
        error = np.rint(rows[:, ::4] / step) * step - rows[:, ::4]
        shift = known.quantized_means[use, 0] - known.means[use, 0]
        # float32 quotients: a value next to a tie may round the other way, one of 18.
        np.testing.assert_allclose(shift, error.reshape(-1, 16).mean(0), atol=step / 17)
        assert np.abs(shift).max() > step / 17
    assert not np.allclose(*covariances, atol=0.1)
    np.testing.assert_allclose(known.covariance[0], np.mean(covariances, axis=0), atol=1e-5)
    # Second moments about zero add the mean square over uses.
    raw = known.covariance[0] + np.mean([np.outer(m, m) for m in known.means[:, 0]], axis=0)
    np.testing.assert_allclose(known.second_moment()[0], raw, atol=1e-5)
    assert known.positions == 2 * 6 * 12


@pytest.mark.usefixtures("plain")
def test_dense_layers_that_flatten_their_input():
    """As older converters write them: FULLY_CONNECTED reads the map itself, without a RESHAPE before it."""
    import keras

    keras.utils.set_random_seed(7)
    source = keras.Input((3, 3, 4), name="image")
    model = keras.Model(source, keras.layers.Dense(5, name="dense")(keras.layers.Flatten()(source)))
    images = np.random.default_rng(9).normal(size=(8, 3, 3, 4)).astype(np.float32)
    floats = load_model(model)
    data = check_samples(images, floats.inputs)
    files = [load(floats.flatbuffer), load(int8_twin(floats, data))]
    for file in files:
        reshape, dense = file.graph.ops
        assert (reshape.name, dense.name) == ("RESHAPE", "FULLY_CONNECTED")
        dense.inputs[0] = reshape.inputs[0]
        file.graph.ops.remove(reshape)
    layers, _ = find_layers(files[0].graph, files[1].graph)
    (known,) = collect_statistics(files[0], layers, data, data.count).values()
    flat = images.reshape(8, 36).astype(np.float64)
    assert known.positions == 8
    np.testing.assert_allclose(known.means[0, 0], flat.mean(0), atol=1e-6)
    np.testing.assert_allclose(known.covariance[0], np.cov(flat.T, bias=True), atol=1e-5)


@given(st.lists(st.integers(-90, 90), min_size=2, max_size=4))
@settings(max_examples=30, deadline=None)
def test_sums_neither_overflow_nor_vanish(exponents: list[int]):
    """Samples of any size after one another, 1e-27 to 1e27, against float64."""
    rng = np.random.default_rng(0)
    samples = [np.ldexp(rng.normal(size=(1, 9, 5)), e).astype(np.float32) for e in exponents]
    sums = running.FullSums(1, 5)
    for rows in samples:
        sums.add(rows)
    everything = np.concatenate(samples, 1)[0].astype(np.float64)
    largest = np.abs(everything).max()
    # float32 products, summed over few rows
    np.testing.assert_allclose(sums.mean()[0], everything.mean(0), atol=1e-6 * largest)
    covariance, share = sums.covariance()
    assert np.isfinite(covariance).all()
    assert (share >= 0).all()
    assert (share <= 1).all()
    trace = np.trace(covariance[0])  # shrinking keeps it
    np.testing.assert_allclose(trace, np.cov(everything.T, bias=True).trace(), rtol=1e-4)


def test_units_change_no_digit():
    rng = np.random.default_rng(0)
    samples = [rng.normal(size=(1, 9, 5)).astype(np.float32) for _ in range(3)]
    found = []
    for exponent in (0, -80, 80):
        sums = running.FullSums(1, 5)
        for rows in samples:
            sums.add(np.ldexp(rows, exponent))
        covariance, share = sums.covariance()
        found.append((np.ldexp(covariance, -2 * exponent), np.ldexp(sums.mean(), -exponent), share))
    for other in found[1:]:
        for ours, expected in zip(other, found[0], strict=True):
            np.testing.assert_array_equal(ours, expected)
