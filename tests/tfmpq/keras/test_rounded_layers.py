"""Where a simulation rounds values between layers, and that the file then computes the same."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

import tfmpq
from tests.support.keras_nets import NETS, data, separable, shared
from tests.support.pipeline import run_real
from tests.support.trained_nets import low_bit_depthwise
from tfmpq.keras import SimulationSettings, annotate, simulate
from tfmpq.keras.int8_values import Int8Values
from tfmpq.keras.rebuild import graph_layers
from tfmpq.keras.source import int8_values_of, read
from tfmpq.training import lg_lsq

FOUR = SimulationSettings(bits=4)
NIGHTLY = (("separable", 2, 2), ("separable", 4, None), ("transposed", 3, 3), ("transposed", 5, 8), ("signed", 4, 4))


def signed() -> Any:
    """Layers that read values of both signs: one alone, two of one tensor, beside a sum."""
    image = keras.Input((8, 8, 3), name="image")
    x = layers.Conv2D(8, 3, name="stem")(image)
    x = layers.Conv2D(8, 1, name="alone")(x)
    y, z = layers.DepthwiseConv2D(3, padding="same", name="wide")(x), layers.Conv2D(8, 1, name="thin")(x)
    x = layers.Add(name="total")([x, layers.Add(name="both")([y, z])])
    x = layers.Conv2D(8, 3, strides=2, name="after")(x)
    return keras.Model(image, layers.Dense(4, name="scores")(layers.Flatten(name="flat")(x)))


def saturated() -> Any:
    """A sum with twice the step of what is added: half of all sums are ties."""
    image = keras.Input((8, 8, 3), name="image")
    x = layers.ReLU(6.0, name="one_relu")(layers.Conv2D(8, 3, padding="same", name="one")(image))
    y = layers.ReLU(6.0, name="two_relu")(layers.Conv2D(8, 3, padding="same", name="two")(image))
    z = layers.Conv2D(8, 3, name="reader")(layers.Add(name="sum")([x, y]))
    model: Any = keras.Model(image, layers.Dense(4, name="scores")(layers.Flatten(name="flat")(z)))
    for name in ("one", "two"):
        model.get_layer(name).kernel.assign(10 * model.get_layer(name).kernel)
    return model


def with_biases(model: Any) -> Any:
    """Large ones: of small ones hardly any is rounded to another integer."""
    generator = np.random.default_rng(5)
    for layer in model.layers:
        if getattr(layer, "use_bias", False):
            layer.bias.assign(generator.normal(0, 0.5, layer.bias.shape))
    return model


def rounded(model: Any) -> set[str]:
    return set(int8_values_of(model))


def test_what_the_file_rounds_is_rounded():
    model = separable()
    found = simulate(annotate(model, FOUR), data(model))
    # A convolution, its normalization and its ReLU are one tensor; what the model gives out is not rounded.
    assert rounded(found) == {"stem_relu", "depthwise_relu", "project", "add", "pool"}
    assert all(layer.scale > 0 for layer in int8_values_of(found).values())


def test_what_one_layer_alone_reads_at_a_learned_step_is_rounded_there():
    model = separable()
    found = lg_lsq(model, data(model), bits=4, activation_bits=4)
    # `stem_relu` is read by the sum, too.
    assert rounded(found) == {"stem_relu", "project", "add", "pool"}


def test_layers_that_are_used_twice_are_left():
    model = shared()
    assert not rounded(simulate(annotate(model, FOUR), data(model)))


def test_a_name_that_is_taken_is_no_error():
    x = keras.Input((4,), name="x")
    y = layers.Dense(4, activation="relu", name="one")(x)
    y = layers.Dense(4, activation="relu", name="one_int8")(y)
    model = keras.Model(x, layers.Dense(2, name="last")(y))
    assert rounded(simulate(annotate(model, FOUR), data(model))) == {"one_int8"}


def test_the_file_has_the_ranges_of_the_simulation():
    model = separable()
    found = simulate(annotate(model, FOUR), data(model))
    ranges = {path: layer.range() for path, layer in int8_values_of(found).items()}
    for layer in int8_values_of(found).values():
        layer.scale *= 1.5  # no range of the data
    source = read(found)
    for path, (low, high) in source.handed_on.items():
        np.testing.assert_allclose((low, high), 1.5 * np.array(ranges[path]), rtol=1e-6)
    assert not any(isinstance(layer, Int8Values) for _, layer in graph_layers(source.model))
    known = tfmpq.prepare(found, data(model), progress=False, sensitivity="energy", lowering="fused")
    scales = {t.scale for op in known.network.base.graph.ops for t in op.outputs if t.quantization is not None}
    for layer in int8_values_of(found).values():
        assert min(abs(scale / layer.scale - 1) for scale in scales) < 1e-5


@pytest.mark.parametrize(
    ("name", "bits", "activation_bits"),
    [
        ("separable", 3, 3),
        ("transposed", 2, 2),
        ("transposed", 4, None),
        ("signed", 2, 3),
        ("saturated", 4, 8),
        *(pytest.param(*case, marks=pytest.mark.nightly) for case in NIGHTLY),
    ],
)
def test_file_and_simulation_are_the_same_to_the_step(name: str, bits: int, activation_bits: int | None):
    keras.utils.set_random_seed(0)
    model = with_biases({**NETS, "signed": signed, "saturated": saturated}[name]())
    x = data(model)
    if name == "transposed":  # besides first and last layers it has a depthwise one, of 8 bits unless it is annotated
        model = low_bit_depthwise(model, bits)
    student = lg_lsq(model, x, bits=bits, activation_bits=activation_bits)
    known = tfmpq.prepare(student, x, progress=False, sensitivity="energy", lowering="fused")
    content = known.finish().tflite_model
    feeds = [{known.network.float_model.inputs[0].name: sample[None]} for sample in x]
    written, computed = run_real(content, feeds)[0][:, 0], np.asarray(student(x))
    (output,) = known.network.base.graph.outputs
    # The simulation does not round what the model gives out: half a step. Of the thousands of inner values of a sample
    # one may lie so near a tie that float32 falls to the other side, and all that reads it differs: few samples do.
    steps = np.abs(written - computed).reshape(len(x), -1).max(axis=1) / output.scale
    assert np.mean(steps < 0.51) >= 0.9
