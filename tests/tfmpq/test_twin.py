"""Which activations a conversion has."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tfmpq
from converters.tflite.graph import TensorType
from converters.tflite.reader import load

OPTIONS: dict[str, Any] = {"sensitivity": "energy", "progress": False, "validate": False, "seed": 3}


@pytest.fixture(scope="module")
def convolutions() -> tuple[Any, np.ndarray]:
    import keras
    from keras import layers

    keras.utils.set_random_seed(0)
    x = keras.Input((16, 16, 16), name="x")
    y = layers.Conv2D(32, 3, activation="relu")(x)
    y = layers.DepthwiseConv2D(3, activation="relu")(y)
    model = keras.Model(x, layers.Dense(10)(layers.GlobalAveragePooling2D()(layers.Conv2D(64, 1)(y))))
    return model, np.random.default_rng(0).normal(size=(8, 16, 16, 16)).astype(np.float32)


@pytest.fixture(scope="module")
def transformer() -> tuple[Any, np.ndarray]:
    import keras
    from keras import layers

    keras.utils.set_random_seed(0)
    x = y = keras.Input((64, 64), name="x")
    y = layers.LayerNormalization()(y + layers.MultiHeadAttention(4, 16)(y, y))
    y = layers.LayerNormalization()(y + layers.Dense(64)(layers.Dense(256, activation="gelu")(y)))
    return keras.Model(x, y), np.random.default_rng(0).normal(size=(8, 64, 64)).astype(np.float32)


def _int8_inside(content: bytes) -> bool:
    graph = load(content).graph
    return any(t.type == TensorType.INT8 for op in graph.ops for t in op.outputs)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_auto_leaves_convolutions_as_they_are(convolutions: tuple[Any, np.ndarray]) -> None:
    model, data = convolutions
    auto, int8 = (tfmpq.convert(model, data, activations=a, **OPTIONS) for a in ("auto", "int8"))
    assert auto.tflite_model == int8.tflite_model
    assert not [n for n in int8.report.notes if "activations=" in n]
    (note,) = [n for n in auto.report.notes if "activations are in int8" in n]
    assert "predicted" in note
    assert auto.report.activations == "int8"


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_auto_takes_float_for_transformers(transformer: tuple[Any, np.ndarray]) -> None:
    model, data = transformer
    auto, floating = (tfmpq.convert(model, data, activations=a, **OPTIONS) for a in ("auto", "float"))
    assert auto.tflite_model == floating.tflite_model
    assert auto.report.activations == "float"
    assert any("activations are in float" in n for n in auto.report.notes)
    int8 = tfmpq.convert(model, data, activations="int8", **OPTIONS)
    assert _int8_inside(int8.tflite_model)
    assert any("activations='float' is predicted to take 0." in n for n in int8.report.notes)
    assert not _int8_inside(auto.tflite_model)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_float_files_are_the_same_twice_and_for_every_budget(transformer: tuple[Any, np.ndarray]) -> None:
    model, data = transformer
    prepared = tfmpq.prepare(model, data, activations="float", sensitivity="energy", progress=False, seed=3)
    none, some = (prepared.finish(budget=tfmpq.ExtraBits(extra), validate=False) for extra in (0.0, 0.3))
    assert none.tflite_model != some.tflite_model
    whole = tfmpq.convert(model, data, activations="float", budget=tfmpq.ExtraBits(0.3), **OPTIONS)
    assert some.tflite_model == whole.tflite_model
