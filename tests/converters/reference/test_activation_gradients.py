from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

from converters.frontend.load import load_model
from converters.reference.activation_gradients import activation_gradients
from converters.tflite.graph import Model
from converters.tflite.reader import load
from converters.tflite.writer import save
from tests.support.pipeline import run_real


def float_model(build: Any, shape: tuple[int, ...]) -> Model:
    keras.utils.set_random_seed(3)
    x = layers.Input(shape)
    return load(load_model(keras.Model(x, build(x))).flatbuffer)


def feeds_of(model: Model, count: int) -> list[dict[str, np.ndarray]]:
    rng = np.random.default_rng(0)
    return [
        {n: rng.normal(size=t.shape).astype("float32") for n, t in model.signatures[0].inputs} for _ in range(count)
    ]


def test_a_linear_network_has_the_gradient_of_its_matrix() -> None:
    model = float_model(lambda x: layers.Dense(3)(layers.Dense(5)(x)), (4,))
    feeds = feeds_of(model, 40)
    found = activation_gradients(model.graph, feeds, dict(model.signatures[0].inputs), draws=50)
    assert not isinstance(found, str)
    inner = model.graph.ops[0].outputs[0]
    last = model.graph.ops[1].input(1).array().astype(np.float64)  # (3, 5)
    outputs = run_real(save(model), feeds)[0]
    expected = (last**2).sum(axis=0) / (outputs.var() * 3)  # error over variance, a mean over outputs
    # 2,000 random signs: their cross terms average to a few per cent of the sum.
    np.testing.assert_allclose(found[inner], expected, rtol=0.12)


def test_positions_are_summed_up() -> None:
    model = float_model(lambda x: layers.Conv2D(2, 1)(layers.Conv2D(3, 1)(x)), (4, 4, 3))
    found = activation_gradients(model.graph, feeds_of(model, 20), dict(model.signatures[0].inputs), draws=20)
    assert not isinstance(found, str)
    inner, last = model.graph.ops[0].outputs[0], model.graph.ops[1].input(1).array().reshape(2, 3)
    ratios = found[inner] / (last.astype(np.float64) ** 2).sum(axis=0)
    np.testing.assert_allclose(ratios, ratios.mean(), rtol=0.15)  # 16 positions of 400 random signs


def test_probabilities_have_the_gradient_of_the_divergence() -> None:
    model = float_model(lambda x: layers.Softmax()(layers.Dense(4)(x)), (4,))
    feeds = feeds_of(model, 64)
    found = activation_gradients(model.graph, feeds, dict(model.signatures[0].inputs), draws=64)
    assert not isinstance(found, str)
    logits = model.graph.ops[-1].input(0)
    dense = next(op for op in model.graph.ops if op.outputs[0] is logits)
    weight = dense.input(1).array()
    x = np.concatenate([next(iter(f.values())) for f in feeds])
    powers = np.exp(x @ weight.T / 4)  # tempered
    p = powers / powers.sum(1, keepdims=True)
    np.testing.assert_allclose(found[logits], (p * (1 - p)).mean(0), rtol=0.1)  # 4,096 normal draws


def test_what_has_no_gradient_is_said() -> None:
    model = float_model(lambda x: keras.ops.cast(10.0 * x, "int32"), (4, 4))
    found = activation_gradients(model.graph, feeds_of(model, 2), dict(model.signatures[0].inputs))
    assert isinstance(found, str)


@pytest.mark.parametrize("batch", [1, 3])
def test_the_batch_changes_nothing(batch: int) -> None:
    model = float_model(lambda x: layers.Dense(3)(layers.ReLU()(layers.Dense(5)(x))), (4,))
    feeds = feeds_of(model, 6)
    inputs = dict(model.signatures[0].inputs)
    first, second = (activation_gradients(model.graph, feeds, inputs, batch=b) for b in (6, batch))
    assert not isinstance(first, str)
    assert not isinstance(second, str)
    for tensor, values in first.items():
        np.testing.assert_allclose(second[tensor], values, rtol=1e-4)  # float32 sums in another order


def test_an_output_may_be_a_single_number() -> None:
    model = float_model(lambda x: keras.ops.sum(layers.Dense(2)(layers.Dense(5)(x))), (4,))
    assert model.graph.outputs[0].shape == ()
    found = activation_gradients(model.graph, feeds_of(model, 3), dict(model.signatures[0].inputs))
    assert not isinstance(found, str)
