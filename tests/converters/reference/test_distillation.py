"""Rows trained against the float network, for every kind of layer and output."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

from converters.frontend.load import load_model
from converters.frontend.tf_converter import int8_twin
from converters.layers.find import find_layers
from converters.layers.layer import Layer
from converters.reference import distillation
from converters.reference.distillation import RowsToTrain, Trained, distilled
from converters.reference.tf_ops import OpError
from converters.tflite.graph import Model
from converters.tflite.reader import load
from tests.support.keras_nets import NETS, data
from tfmpq.measure.evidence import feed_tensors
from tfmpq.measure.sensitivity import RoundedWeight, with_weight


def net(activation: str | None = None) -> Any:
    keras.utils.set_random_seed(0)
    x = keras.Input((6, 6, 3), name="image")
    y = layers.Conv2D(8, 3, activation="relu", name="stem")(x)
    y = layers.GlobalAveragePooling2D()(layers.Conv2D(8, 1, activation="relu", name="middle")(y))
    return keras.Model(x, layers.Dense(5, activation=activation, name="head")(y))


def coarse(layer: Layer) -> RowsToTrain:
    """Three levels a row, and biases as they are."""
    step = np.abs(layer.weight).max(axis=1).astype(np.float64) / 1.5
    codes = np.clip(np.rint(layer.weight / step[:, None]), -1, 1)
    one, means = np.ones(layer.channels), np.zeros((len(layer.uses), *layer.weight.shape))
    return RowsToTrain(layer, codes, step, -one, one, means, tuple(use.bias for use in layer.uses))


def student_of(model: Model, rows: Sequence[RowsToTrain]) -> Model:
    for entry in rows:
        weight = RoundedWeight((entry.codes * entry.step[:, None]).astype(np.float32), entry.biases)
        model = with_weight(model, entry.layer, weight)
    return model


def opened(keras_model: Any) -> tuple[Model, list[Layer], list[dict[str, np.ndarray]]]:
    """The float file, its layers, and samples."""
    loaded = load_model(keras_model)
    model = load(loaded.flatbuffer)
    samples = [{loaded.inputs[0].name: x[None]} for x in data(keras_model, 48)]
    twin = load(int8_twin(loaded, lambda: iter(samples)))
    found, _ = find_layers(model.graph, twin.graph, names=loaded.names)
    return model, found, samples


def train(keras_model: Any, epochs: int = 3) -> tuple[list[RowsToTrain], list[Trained]]:
    model, found, samples = opened(keras_model)
    rows = [coarse(layer) for layer in found]
    student = student_of(model, rows)
    training = distilled(model.graph, student.graph, rows, samples, feed_tensors(model), epochs=epochs)
    return rows, list(training)


@pytest.mark.parametrize("name", NETS)
def test_rows_of_all_kinds_of_layers_come_back_in_their_order(name: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(distillation, "_RATE", 0.0)
    monkeypatch.setattr(distillation, "_SCALE_RATE", 0.0)
    rows, (trained,) = train(NETS[name](), epochs=1)
    assert len(rows) >= 3
    for entry, (codes, step) in zip(rows, trained, strict=True):
        np.testing.assert_array_equal(codes, entry.codes, err_msg=entry.layer.name)
        np.testing.assert_array_equal(step, entry.step.astype(np.float32), err_msg=entry.layer.name)


@pytest.mark.parametrize("activation", ["softmax", "sigmoid", None])
def test_the_network_gets_closer_to_float(activation: str | None, monkeypatch: pytest.MonkeyPatch):
    losses: list[float] = []
    step = distillation._Training.step

    def noted(self: Any, feeds: Any, rate: float) -> float:
        losses.append(step(self, feeds, rate))
        return losses[-1]

    monkeypatch.setattr(distillation._Training, "step", noted)
    monkeypatch.setattr(distillation, "_RATE", 0.05)
    rows, results = train(net(activation), epochs=8)
    assert len(results) == 8
    assert np.mean(losses[-3:]) < 0.8 * np.mean(losses[:3])
    changed = 0
    for entry, (codes, steps) in zip(rows, results[-1], strict=True):
        np.testing.assert_array_equal(codes, np.rint(codes))
        assert (codes >= entry.low[:, None]).all()
        assert (codes <= entry.high[:, None]).all()
        assert (steps > 0).all()
        changed += int((codes != entry.codes).sum())
    assert changed


def test_biases_follow_the_rows_so_that_the_mean_stays():
    import tensorflow as tf

    model, found, _ = opened(net())
    layer = next(x for x in found if x.name == "middle")
    entry = coarse(layer)
    means = np.random.default_rng(0).normal(size=entry.means.shape)
    entry = RowsToTrain(layer, entry.codes, entry.step, entry.low, entry.high, means, entry.biases)
    student = student_of(model, [entry])
    twin = student.graph.ops[model.graph.ops.index(layer.uses[0].float_op)]
    rows = distillation._Rows(tf, entry, [twin])
    weight, bias = twin.input(layer.site.weight), twin.input(layer.site.bias or 2)
    np.testing.assert_allclose(rows.tensors()[bias], entry.biases[0], atol=1e-6)
    rows._ratio.assign(np.full(layer.channels, 1.5, np.float32))
    tensors = rows.tensors()
    real = layer.kind.rows(np.asarray(tensors[weight])).astype(np.float64)
    before = (entry.codes * entry.step[:, None] * means[0]).sum(axis=1) + entry.biases[0]
    np.testing.assert_allclose((real * means[0]).sum(axis=1) + tensors[bias], before, atol=1e-5)  # float32 sums of 8


def test_outputs_that_are_integers_give_nothing_to_compare():
    x = keras.Input((4,), name="x")
    classes = keras.ops.cast(layers.Dense(3, name="dense")(x) > 0, "int32")
    with pytest.raises(OpError, match="no output of the graph is float32"):
        train(keras.Model(x, classes), epochs=1)
