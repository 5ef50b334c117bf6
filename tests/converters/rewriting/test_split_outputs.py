from typing import Any

import keras
import numpy as np
import pytest

from converters.frontend.load import load_model
from converters.rewriting.split_outputs import InseparableError, joined_parts, split_output
from converters.tflite.reader import load
from converters.tflite.writer import save
from tests.support.output_nets import SHAPE, heads, images, joined, values

KINDS = {"boxes": np.arange(4), "scores": np.arange(4, 6)}


def permuted() -> Any:
    model = joined()
    return keras.Model(model.input, keras.layers.Permute((2, 1))(model.output))


def stacked() -> Any:
    x = keras.Input(SHAPE, name="image")
    first, second = (keras.layers.Conv2D(3, 3, activation="relu")(x) for _ in range(2))
    return keras.Model(x, keras.ops.stack([first, second * 100.0], axis=1))


@pytest.mark.parametrize(
    ("make", "axis", "sizes"), [(joined, 2, (4, 20)), (permuted, 1, (4, 20)), (stacked, 1, (1, 1))]
)
def test_parts_that_are_joined(make: Any, axis: int, sizes: Any):
    model = load(load_model(make()).flatbuffer)
    (output,) = model.graph.outputs
    found = joined_parts(model.graph, output)
    assert found is not None
    assert found[0] == axis
    assert tuple(map(len, found[1])) == sizes
    split = split_output(model, output.name, axis, {"x/part0": found[1][0], "x/part1": found[1][1]})
    assert [name for name, _ in split.signatures[0].outputs] == ["x/part0", "x/part1"]
    assert not {"CONCATENATION", "PACK"} & {op.name for op in split.graph.ops}
    (whole,), parts = (values(save(m), images(2), "image") for m in (model, split))
    for part, places in zip(parts, found[1], strict=True):
        np.testing.assert_array_equal(part.reshape(-1), np.take(whole, places, axis).reshape(-1))


@pytest.mark.parametrize(
    "options", [{}, {"anchors": 3}, {"anchors": 2, "levels": 2}, {"levels": 2, "transposed": True}]
)
def test_rows_of_one_layer_become_two_layers(options: Any):
    model = load(load_model(heads(**options)).flatbuffer)
    (output,) = model.graph.outputs
    axis = 1 if options.get("transposed") else 2
    split = split_output(model, output.name, axis, KINDS)
    (whole,), parts = (values(save(m), images(2), "image") for m in (model, split))
    for part, places in zip(parts, KINDS.values(), strict=True):
        # The runtime sums up in another order where a convolution has fewer rows; a wrong row is off by hundreds.
        np.testing.assert_allclose(part, np.take(whole, places, axis), rtol=1e-5, atol=1e-3)


def test_what_cannot_be_taken_apart():
    x = keras.Input(SHAPE, name="image")
    soft = load(load_model(keras.Model(x, keras.layers.Conv2D(6, 1, activation="softmax")(x))).flatbuffer)
    assert joined_parts(soft.graph, soft.graph.outputs[0]) is None
    with pytest.raises(InseparableError, match="SOFTMAX computes with values of several parts"):
        split_output(soft, soft.graph.outputs[0].name, 3, KINDS)
    depthwise = load(load_model(keras.Model(x, keras.layers.DepthwiseConv2D(3)(x))).flatbuffer)
    with pytest.raises(InseparableError, match="makes a channel of each"):
        split_output(depthwise, depthwise.graph.outputs[0].name, 3, {"a": np.arange(1), "b": np.arange(1, 3)})
    open_batch = load(load_model(heads(), batch_size=None).flatbuffer)
    with pytest.raises(InseparableError, match="open batch size"):
        split_output(open_batch, open_batch.graph.outputs[0].name, 2, KINDS)
