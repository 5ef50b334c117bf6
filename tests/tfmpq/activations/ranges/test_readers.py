"""Predicted costs of errors against what errors do to the results of the network."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from converters.frontend.load import load_model
from converters.runtime.interpreter import make_interpreter, run
from converters.tflite.graph import Graph, Tensor
from converters.tflite.probe import probe
from converters.tflite.reader import load
from tfmpq.activations.ranges.readers import Reader, combined, readers_of

keras = pytest.importorskip("keras")
layers = keras.layers

SHAPE = (16, 16, 6)


def conv(y: Any) -> Any:
    return layers.Conv2D(5, 3)(y)


def strided(y: Any) -> Any:
    return layers.Conv2D(5, 1)(y)


def depthwise(y: Any) -> Any:
    return layers.DepthwiseConv2D(3, depth_multiplier=2)(y)


def grouped(y: Any) -> Any:
    return layers.Conv2D(4, 3, groups=2)(y)


def leaky(y: Any) -> Any:
    return conv(layers.LeakyReLU(negative_slope=0.2)(y))


def scaled(y: Any) -> Any:
    return conv(y * np.linspace(0.1, 3, 6).astype(np.float32))


def summed(y: Any) -> Any:
    return conv(layers.Add()([y, layers.Conv2D(6, 1, name="side", kernel_initializer="zeros")(y)]))


def joined(y: Any) -> Any:
    return layers.Conv2D(5, 3)(layers.Concatenate()([layers.Conv2D(3, 1, kernel_initializer="zeros")(y), y]))


def graph_of(behind: Callable[[Any], Any]) -> tuple[Any, Graph, Tensor, Tensor]:
    """A network: a layer with its own scale for each channel, then ``behind``; the layer's tensor and the output."""
    keras.utils.set_random_seed(1)
    x = keras.Input(SHAPE, name="x")
    y = layers.DepthwiseConv2D(1, name="first", depthwise_initializer=keras.initializers.RandomNormal(0, 1))(x)
    # Two layers without an activation in between would be one.
    model = load(load_model(keras.Model(x, behind(layers.ELU(name="elu")(y)))).flatbuffer)
    tensor = next(op.outputs[0] for op in model.graph.ops if op.name == "ELU")
    return model, model.graph, tensor, model.graph.outputs[0]


@pytest.mark.parametrize("behind", [conv, strided, depthwise, grouped, leaky, scaled, summed, joined])
def test_costs_are_the_noise_at_the_next_layer(behind: Callable[[Any], Any]):
    model, graph, tensor, output = graph_of(behind)
    random = np.random.default_rng(0)
    rest = make_interpreter(probe(model, [output], inputs=[tensor]))
    values = random.normal(size=(1, *SHAPE)).astype(np.float32)
    right = run(rest, {"input_0": values})[0]
    variances = {output: float(right.var())}
    readers = [r for r in readers_of(graph, {}, variances)[tensor]]
    for channel in (0, 5):
        error = np.zeros_like(values)
        error[..., channel] = 1e-2 * random.normal(size=SHAPE[:2])
        wrong = run(rest, {"input_0": values + error})[0]
        found = float(np.square(wrong - right, dtype=np.float64).sum()) / right.var()
        at = values[..., channel].ravel().astype(np.float64)
        squares = np.square(error[..., channel].ravel().astype(np.float64))
        predicted = sum(float((r.weights[channel] * r.factor(at) * squares).sum()) for r in readers if r.weights.any())
        # Borders, which fewer windows see, are 1 - (14 / 16)^2 of the 3x3 layers' inputs; noise is of 256 values.
        assert predicted == pytest.approx(found, rel=0.45), behind.__name__


def test_averages_share_rounding_errors_but_not_clipping_errors():
    def pooled(y: Any) -> Any:
        return layers.Dense(3)(layers.GlobalAveragePooling2D()(y))

    _, graph, tensor, _ = graph_of(pooled)
    (reader,) = readers_of(graph, {}, {})[tensor]
    assert reader.averaged == SHAPE[0] * SHAPE[1]
    mean = next(op.outputs[0] for op in graph.ops if op.name == "MEAN")
    (dense,) = readers_of(graph, {}, {})[mean]
    np.testing.assert_allclose(reader.weights, dense.weights)


def test_what_hands_values_on_at_one_scale_is_no_reader():
    def pooled(y: Any) -> Any:
        return conv(layers.MaxPooling2D(2)(y))

    _, graph, tensor, _ = graph_of(pooled)
    pool = next(op.outputs[0] for op in graph.ops if op.name == "MAX_POOL_2D")
    shared = {tensor.name: tensor.name, pool.name: tensor.name}
    assert readers_of(graph, shared, {})[tensor] == []
    (own,) = readers_of(graph, shared, {})[pool]
    (through,) = readers_of(graph, {}, {})[tensor]
    np.testing.assert_array_equal(through.weights, own.weights)


def test_outputs_count_by_themselves_too():
    keras.utils.set_random_seed(1)
    x = keras.Input(SHAPE, name="x")
    y = layers.Conv2D(6, 3, name="first")(x)
    model = load(load_model(keras.Model(x, [y, conv(layers.ReLU()(y))])).flatbuffer)
    tensor = next(op.outputs[0] for op in model.graph.ops if op.outputs[0] in model.graph.outputs)
    end, relu = readers_of(model.graph, {}, {tensor: 4.0})[tensor]
    np.testing.assert_array_equal(end.weights, np.full(6, 0.25))
    np.testing.assert_array_equal(relu.factor(np.array([-1.0, 1.0])), [0, 1])


def test_equal_readers_are_counted_once():
    first, second = Reader(np.ones(2)), Reader(np.array([1.0, 3.0]))
    averaging = Reader(np.ones(2), averaged=4.0)
    found = combined([first, averaging, second])
    assert [r.weights.tolist() for r in found] == [[2.0, 4.0], [1.0, 1.0]]
