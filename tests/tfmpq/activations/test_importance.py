"""Noise put into an activation makes the relative output noise that its importance says, where that is exact."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

from converters.frontend.load import load_model
from converters.rewriting.channel_scales import channel_scales
from converters.tflite.graph import Model
from converters.tflite.reader import load
from tfmpq.activations.importance import importance
from tfmpq.activations.statistics import channel_statistics

SIDE = 8


def float_model(build: Callable[[Any], Any]) -> Model:
    keras.utils.set_random_seed(0)
    x = layers.Input((SIDE, SIDE, 3))
    return load(load_model(keras.Model(x, build(x))).flatbuffer)


def found(model: Model) -> tuple[dict[Any, np.ndarray], dict[Any, Any]]:
    rng = np.random.default_rng(0)
    name = model.signatures[0].inputs[0][0]
    statistics = channel_statistics(
        model, [{name: rng.normal(size=(1, SIDE, SIDE, 3)).astype("float32")} for _ in range(8)]
    )
    return importance(model.graph, channel_scales(model.graph), statistics), statistics


def test_of_a_convolutions_input() -> None:
    model = float_model(lambda x: layers.Conv2D(5, 3)(layers.Conv2D(4, 1, name="inner")(x)))
    counts, statistics = found(model)
    inner, last = model.graph.ops[0].outputs[0], model.graph.ops[1]
    squares = np.square(last.input(1).array().astype(np.float64)).sum(axis=(0, 1, 2))
    np.testing.assert_allclose(counts[inner], squares / statistics[last.outputs[0]].variance.sum())


@pytest.mark.parametrize(
    ("between", "share"),
    [
        (lambda x: layers.ReLU()(x), 1.0),
        (lambda x: layers.AveragePooling2D(2)(x), 0.25),  # noise of four positions is averaged
        (lambda x: layers.MaxPooling2D(2)(x), 1.0),
        (lambda x: keras.ops.multiply(x, 3.0), 9.0),
    ],
)
def test_through_operators(between: Callable[[Any], Any], share: float) -> None:
    model = float_model(lambda x: layers.Conv2D(5, 1)(between(layers.Conv2D(4, 1, use_bias=False)(-x))))
    counts, _ = found(model)
    last = model.graph.ops[-1]
    first = next(op for op in model.graph.ops if op.name == "CONV_2D").outputs[0]
    if last.input(0) is not first:
        np.testing.assert_allclose(counts[first], share * counts[last.input(0)])


def test_of_joined_branches() -> None:
    model = float_model(
        lambda x: layers.Conv2D(5, 1)(
            layers.Concatenate()([layers.Conv2D(4, 1)(x), layers.Conv2D(2, 3, padding="same")(x)])
        )
    )
    counts, _ = found(model)
    joined = next(op for op in model.graph.ops if op.name == "CONCATENATION")
    both = np.concatenate([counts[t] for t in joined.inputs if t is not None])
    np.testing.assert_allclose(both, counts[joined.outputs[0]])


def test_a_depthwise_layer_hands_on_what_counts_behind_it() -> None:
    model = float_model(lambda x: layers.Conv2D(5, 1)(layers.DepthwiseConv2D(3)(layers.Conv2D(4, 1)(x))))
    counts, _ = found(model)
    deep = next(op for op in model.graph.ops if op.name == "DEPTHWISE_CONV_2D")
    squares = np.square(deep.input(1).array().astype(np.float64)).sum(axis=(0, 1, 2))
    np.testing.assert_allclose(counts[deep.input(0)], squares * counts[deep.outputs[0]])
