"""Layers of an int8 file that read their input at a scale of their own."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

from converters.frontend.load import load_model
from converters.frontend.tf_converter import int8_twin
from converters.layers.find import find_layers
from converters.rewriting.requantized import with_requantized
from converters.tflite.graph import Model
from converters.tflite.reader import load
from converters.tflite.writer import save
from tests.support.op_models import KERNELS, run_kernels


@pytest.fixture(scope="module")
def both() -> tuple[Model, Model]:
    """A float file whose two convolutions, and a sum, read one activation, and its int8 twin."""
    keras.utils.set_random_seed(0)
    image = keras.Input((6, 6, 3), name="image")
    x = keras.layers.Conv2D(4, 3, padding="same", activation="relu", name="stem")(image)
    branches = [keras.layers.Conv2D(4, 3, padding="same", name=name)(x) for name in ("left", "right")]
    loaded = load_model(keras.Model(image, keras.layers.Add(name="sum")([x, *branches])))
    samples = np.random.default_rng(0).normal(size=(16, 1, 6, 6, 3)).astype(np.float32)
    return load(loaded.flatbuffer), load(int8_twin(loaded, lambda: ({"image": s} for s in samples)))


def names(model: Model) -> list[str]:
    return [op.name for op in model.graph.ops]


def layer_outputs(model: Model) -> list[str]:
    return [op.outputs[0].name for op in model.graph.ops if op.name == "CONV_2D"]


def test_one_add_for_all_that_read_with_one_range(both: tuple[Model, Model]):
    float_model, twin = both
    left, right = layer_outputs(float_model)[1:]
    before = names(twin)
    changed = with_requantized(twin, float_model.graph, {left: [(-24.0, 1.5)], right: [(-24.0, 1.5)]})
    assert names(twin) == before
    assert names(changed).count("ADD") == before.count("ADD") + 1
    apart = with_requantized(twin, float_model.graph, {left: [(-24.0, 1.5)], right: [(0.0, 2.55)]})
    assert names(apart).count("ADD") == before.count("ADD") + 2
    layers, _ = find_layers(float_model.graph, apart.graph)  # they are found all the same
    scalings = [(x.uses[0].int8_input.scale, x.uses[0].int8_input.zero_point) for x in layers[1:]]
    assert scalings == [(pytest.approx(0.1), 112), (pytest.approx(0.01), -128)]
    total = next(op for op in apart.graph.ops if op.name == "ADD" and op.input(1).data is None)
    assert total.input(0).name in [op.outputs[0].name for op in twin.graph.ops]  # the sum reads what it read


@pytest.mark.parametrize("kernels", KERNELS)
def test_it_computes_with_the_new_steps(kernels: Any, both: tuple[Model, Model]):
    float_model, twin = both
    source = next(op.outputs[0] for op in twin.graph.ops if op.name == "CONV_2D")
    left, right = layer_outputs(float_model)[1:]
    same = ((-128 - source.zero_point) * source.scale, (127 - source.zero_point) * source.scale)
    x = np.random.default_rng(1).integers(-128, 128, (1, 6, 6, 3)).astype(np.int8)
    unchanged = with_requantized(twin, float_model.graph, {left: [same], right: [same]})
    (before,), (after,) = (run_kernels(save(m), kernels, [x]) for m in (twin, unchanged))
    # Integers pass as they are between equal scales, up to float32.
    np.testing.assert_array_equal(after, before)
    coarse = with_requantized(twin, float_model.graph, {left: [(-255.0, 0.0)], right: [(-255.0, 0.0)]})
    (after,) = run_kernels(save(coarse), kernels, [x])
    assert (after != before).mean() > 0.5  # all that the layers read is clipped to zero


def test_ranges_one_behind_the_other(both: tuple[Model, Model]):
    float_model, twin = both
    left, right = layer_outputs(float_model)[1:]
    first, second = (-25.2, 0.3), (-0.3, 25.2)
    changed = with_requantized(twin, float_model.graph, {left: [first, second], right: [first]})
    adds = [op for op in changed.graph.ops if op.name == "ADD" and op.input(1).data is not None]
    assert [(op.outputs[0].scale, op.outputs[0].zero_point) for op in adds] == [
        (pytest.approx(0.1), 124),
        (pytest.approx(0.1), -125),
    ]
    assert adds[1].input(0) is adds[0].outputs[0]
    layers = {op.outputs[0].name: op.input(0) for op in changed.graph.ops if op.name == "CONV_2D"}
    assert [*layers.values()][1:] == [adds[1].outputs[0], adds[0].outputs[0]]


@pytest.mark.parametrize("kernels", KERNELS)
# A QUANTIZE turns 3 and 15 of 256 integers into others by the built-in kernels, 1 and 9 by XNNPACK, to one side.
@pytest.mark.parametrize("ratio", [0.0474, 0.143, 0.4545, 0.8333])
def test_every_integer_is_rounded_to_the_nearest(kernels: Any, ratio: float, both: tuple[Model, Model]):
    float_model, twin = both
    left = layer_outputs(float_model)[1]
    source = next(op.outputs[0] for op in twin.graph.ops if op.name == "CONV_2D")
    scale = np.float32(source.scale) / np.float32(ratio)
    low = -128 * float(scale)
    changed = with_requantized(twin, float_model.graph, {left: [(low, low + 255 * float(scale))]})
    rescaled = next(op for op in changed.graph.ops if op.name == "ADD" and op.input(1).data is not None)
    graph = changed.graph
    graph.ops = [rescaled]
    graph.inputs, graph.outputs, changed.signatures = [rescaled.input(0)], [rescaled.outputs[0]], []
    shape, target = rescaled.input(0).shape, rescaled.outputs[0]
    size = int(np.prod(shape))
    assert 128 <= size < 256  # two runs hold all integers
    parts = [np.arange(first, first + size, dtype=np.int8) for first in (-128, 128 - size)]
    found = np.concatenate([run_kernels(save(changed), kernels, [part.reshape(shape)])[0].ravel() for part in parts])
    x = np.concatenate(parts)
    assert set(x.tolist()) == set(range(-128, 128))
    exact = (x.astype(np.float64) - source.zero_point) * source.scale / target.scale + target.zero_point
    away_from_ties = np.abs(exact - np.floor(exact) - 0.5) > 1e-5  # float32 scales
    assert away_from_ties.mean() > 0.9
    np.testing.assert_array_equal(found[away_from_ties], np.clip(np.rint(exact), -128, 127)[away_from_ties])
