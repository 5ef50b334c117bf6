"""Which tensor of the file each layer of a Keras model hands on."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import layers

from tests.support.keras_nets import data, separable
from tfmpq.keras.handed_on import rounded_anew, same_values, tensors_of_layers
from tfmpq.keras.measurement import Written, write
from tfmpq.keras.rebuild import Copies, graph_layers

NORMS = {"stem_bn", "depthwise_bn", "project_bn"}


def written(model: Any) -> Written:
    return write(model, data(model))


def handed_on(model: Any, without: set[str]) -> tuple[Written, dict[str, str]]:
    found = written(model)
    tensors = tensors_of_layers(found.graph, [path for path, _ in graph_layers(model) if path not in without])
    return found, {path: tensor.name for path, tensor in tensors.items()}


def test_of_fused_layers_the_last_one_hands_on():
    _, found = handed_on(separable(), NORMS)
    assert {"stem_relu", "depthwise_relu", "project", "add", "pool"} <= set(found)
    assert not {"stem", "depthwise"}.intersection(found)
    assert "project_bn" in handed_on(separable(), set())[1]  # where it is a layer of its own


def test_what_is_rounded_anew():
    image = keras.Input((8, 8, 3), name="image")
    y = layers.Conv2D(4, 3, activation="relu", name="stem")(image)
    y = layers.MaxPooling2D(name="maxima")(y)
    y = layers.Conv2D(4, 1, name="reader")(y)
    y = layers.AveragePooling2D(2, name="averages")(y)
    y = layers.Flatten(name="flat")(y)
    model = keras.Model(image, layers.Dense(3, name="scores")(y))
    found, names = handed_on(model, set())
    ops = {op.outputs[0].name: op for op in found.graph.graph.ops}

    def rounded(*trained: str) -> set[str]:
        tensors = rounded_anew(found.graph.graph, found.steps, {ops[names[path]] for path in trained})
        return {path for path, name in names.items() if name in {t.name for t in tensors}}

    # Maxima and other shapes have the integers of what they read; what the model gives out stays as it is.
    assert rounded() == {"stem", "reader", "averages"}
    # What one layer alone reads, at a trained step, has that step, through the maxima too.
    assert rounded("reader") == {"reader", "averages"}


def test_layers_with_other_values_are_left_out():
    model = separable()
    found, _ = handed_on(model, NORMS)
    tensors = tensors_of_layers(found.graph, [path for path, _ in graph_layers(model) if path not in NORMS])
    right = {"stem_relu": tensors["stem_relu"], "add": tensors["add"], "depthwise_relu": tensors["stem_relu"]}
    ids = {id(model.get_layer(name)): tensor for name, tensor in right.items()}
    sample = next(found.data.originals())

    def expand(layer: Any, copies: Copies) -> list[Any]:
        return [copies(layer)]

    agree = same_values(model, expand, ids, found.graph, sample, [spec.name for spec in found.data.inputs])
    assert agree == {id(model.get_layer(name)) for name in ("stem_relu", "add")}
    assert np.prod(tensors["stem_relu"].shape) == np.prod(tensors["depthwise_relu"].shape)  # not by size alone
