from typing import Any

import keras
import numpy as np
import pytest

from converters.frontend.load import load_model
from converters.layers.kinds import weights_of
from converters.rewriting.output_parts import rows_behind, scale_rows
from converters.tflite.reader import load
from converters.tflite.writer import save
from tests.support.output_nets import SHAPE, embedding, heads, images, values

FACTORS = np.array([1, 1, 0.5, 1, 2.0**-8, 2.0**-9], np.float32)


@pytest.mark.parametrize(
    ("options", "axis"),
    [
        ({}, 2),
        ({"anchors": 3}, 2),
        ({"anchors": 2, "levels": 2}, 2),
        ({"levels": 2, "shared": True}, 2),
        ({"anchors": 2, "levels": 2, "transposed": True}, 1),
    ],
)
def test_powers_of_two_change_no_bit(options: Any, axis: int):
    model = load(load_model(heads(**options)).flatbuffer)
    (output,) = model.graph.outputs
    before = [save(model), len(model.graph.ops)]
    scaled = scale_rows(model, output.name, axis, FACTORS)
    assert [save(model), len(model.graph.ops)] == before
    last = scaled.graph.ops[-1]
    assert (last.name, last.outputs[0].name, scaled.graph.outputs) == ("MUL", output.name, last.outputs)
    given, made = (values(save(m), images(3), "image") for m in (model, scaled))
    np.testing.assert_array_equal(given[0], made[0])
    inner = np.moveaxis(values(save(_ending(scaled)), images(3), "image")[0], axis, -1)
    np.testing.assert_array_equal(inner * FACTORS, np.moveaxis(made[0], axis, -1))
    if options.get("shared"):  # one buffer in the file still
        first, second = (
            weights_of(op)[0] for op in scaled.graph.ops if op.name == "CONV_2D" and weights_of(op)[0].shape[0] == 6
        )
        assert first is second


def _ending(scaled: Any) -> Any:
    """The model that ends in front of the MUL."""
    model = scaled.clone().model
    model.graph.outputs = [model.graph.ops.pop().input(0)]
    model.signatures[0].outputs = [("inner", model.graph.outputs[0])]
    return model


def test_a_dense_layer():
    model = load(load_model(embedding()).flatbuffer)
    factors = np.exp2(-np.arange(32) % 7).astype(np.float32)
    scaled = scale_rows(model, model.graph.outputs[0].name, 1, factors)
    given, made = (values(save(m), images(3), "image") for m in (model, scaled))
    np.testing.assert_array_equal(given[0], made[0])


def test_what_cannot_be_scaled():
    x = keras.Input(SHAPE, name="image")
    conv = keras.layers.Conv2D(6, 1)(x)
    for behind in (
        keras.layers.ReLU(6.0)(conv),  # the cap would be scaled too
        keras.layers.Softmax()(conv),
        conv + keras.layers.Conv2D(6, 1)(x),
        keras.layers.Concatenate()([conv, keras.layers.Conv2D(2, 1)(x)]),  # each part may have a scale of its own
        keras.layers.Flatten()(conv),  # an output channel for every position
    ):
        graph = load(load_model(keras.Model(x, behind)).flatbuffer).graph
        if len(graph.outputs[0].shape) == 2:
            assert rows_behind(graph, graph.outputs[0], 1) is None
        else:
            assert rows_behind(graph, graph.outputs[0], 3) is None
    graph = load(load_model(keras.Model(x, [conv, keras.layers.Reshape((-1, 6))(conv)])).flatbuffer).graph
    reshaped = next(t for t in graph.outputs if len(t.shape) == 3)
    assert rows_behind(graph, reshaped, 2) is None  # the convolution's own values are an output
