"""Copies of Keras 3 models in which layers are replaced."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

from converters.errors import ModelError
from tests.support.keras_nets import shared
from tfmpq.keras.rebuild import Copies, graph_layers, rebuild


def copy(layer: Any, copies: Copies) -> list[Any]:
    return [copies(layer)]


def branches() -> Any:
    """Two inputs by name, operations without layers, several outputs."""
    inputs: dict[str, Any] = {"a": keras.Input((4,), name="a"), "b": keras.Input((4,), name="b")}
    x = layers.Dense(3, name="dense")(inputs["a"]) * 2 + keras.ops.relu(inputs["b"][:, :3])
    return keras.Model(inputs, [x, layers.Softmax(name="softmax")(x)], name="branches")


def adapted() -> Any:
    """A layer that derives values from its variables when they are loaded."""
    normalization = layers.Normalization(name="normalization")
    normalization.adapt(np.random.default_rng(0).normal(3, 2, (50, 4)))
    return keras.Sequential([keras.Input((4,)), normalization, layers.Dense(2)])


def composite() -> Any:
    """Layers that hold layers."""
    x = keras.Input((5, 4))
    y = layers.MultiHeadAttention(2, 4, name="attention")(x, x, use_causal_mask=True)
    return keras.Model(x, layers.Bidirectional(layers.LSTM(3), name="both")(y))


def frozen() -> Any:
    model = shared()
    model.get_layer("block").trainable = False
    return model


MODELS: list[Callable[[], Any]] = [branches, adapted, composite, frozen, shared]


@pytest.mark.parametrize("make", MODELS)
def test_a_copy_computes_the_same_and_is_independent(make: Callable[[], Any]):
    model = make()
    generator = np.random.default_rng(1)
    x = {t.name: generator.normal(size=(2, *t.shape[1:])).astype(np.float32) for t in model.inputs}
    x = x if len(x) > 1 else next(iter(x.values()))
    result = rebuild(model, copy)
    before = [np.asarray(y) for y in keras.tree.flatten(model(x))]
    for y, z in zip(before, keras.tree.flatten(result(x)), strict=True):
        np.testing.assert_array_equal(y, np.asarray(z))
    assert [layer.name for layer in result.layers] == [layer.name for layer in model.layers]
    assert result.name == model.name
    assert [v.trainable for v in result.variables] == [v.trainable for v in model.variables]
    assert not result.compiled
    for variable in result.trainable_variables:
        variable.assign(variable + 1)
    for y, z in zip(before, keras.tree.flatten(model(x)), strict=True):
        np.testing.assert_array_equal(y, np.asarray(z))


def test_layers_are_replaced_once_however_often_they_are_used():
    seen = []

    def expand(layer: Any, copies: Copies) -> list[Any]:
        seen.append(layer.name)
        if layer.name == "relu":
            return []
        return [copies(layer), layers.Rescaling(2.0)] if layer.name == "twice" else [copies(layer)]

    result = rebuild(shared(), expand)
    assert seen.count("twice") == seen.count("conv") == 1
    assert [layer.name for layer in result.get_layer("block").layers] == ["conv", "bn"]
    assert sum(isinstance(layer, layers.Rescaling) for layer in result.layers) == 1


def test_paths_of_layers():
    paths = [path for path, _ in graph_layers(shared())]
    assert sorted(paths) == ["block/bn", "block/conv", "block/relu", "flat", "image", "scores", "twice"]


def test_a_layer_that_does_not_say_how_it_was_made():
    class Forgetful(layers.Layer):
        def __init__(self, factor: Any) -> None:
            super().__init__(name="forgetful")
            self.factor = factor

        def call(self, inputs: Any) -> Any:
            return inputs * self.factor

        def get_config(self) -> dict[str, Any]:
            return {}

    model = keras.Sequential([keras.Input((2,)), Forgetful(3)])
    with pytest.raises(ModelError, match=r"'forgetful' \(Forgetful\) cannot be copied.*get_config\(\)"):
        rebuild(model, copy)
