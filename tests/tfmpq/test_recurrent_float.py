"""Recurrent layers with float activations: their matrices are in int8, as in TensorFlow's dynamic-range file."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import tf_keras

import tfmpq
from converters.runtime.interpreter import make_interpreter, run
from converters.tflite.graph import BuiltinOperator, TensorType
from converters.tflite.reader import load

pytestmark = pytest.mark.slow
STEPS, WIDTH = 8, 40
DATA = np.random.default_rng(0).normal(size=(48, STEPS, WIDTH)).astype(np.float32)
_MATRICES = {BuiltinOperator.FULLY_CONNECTED: (1,), BuiltinOperator.UNIDIRECTIONAL_SEQUENCE_LSTM: range(1, 9)}


def _net(k: Any, kind: str) -> Any:
    """A recurrent network whose matrices have 1,024 numbers or more each, which is what becomes int8."""
    k.utils.set_random_seed(0)
    layers = k.layers
    x = k.Input((STEPS, WIDTH), batch_size=1, name="x")
    y = layers.LSTM(48, return_sequences=True)(x) if kind == "stacked" else x
    layer = layers.GRU(32) if kind == "gru" else layers.LSTM(32)
    y = layers.Bidirectional(layer)(y) if kind == "bidirectional" else layer(y)
    return k.Model(x, layers.Dense(40)(y))


def _outputs(content: bytes) -> np.ndarray:
    interpreter = make_interpreter(content)
    return np.stack([run(interpreter, {"x": x[None]})[0] for x in DATA[-12:]])


@pytest.mark.parametrize(
    ("k", "kind"),
    [
        (tf_keras, "lstm"),
        (tf_keras, "bidirectional"),
        pytest.param(tf_keras, "stacked", marks=pytest.mark.nightly),  # by day: two directions, which are two LSTMs too
        (keras, "lstm"),
        (keras, "gru"),
    ],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_conversion(k: Any, kind: str) -> None:
    result = tfmpq.convert(_net(k, kind), DATA, bits=8, activations="float", validate=True, progress=False)
    right = _outputs(result.float_model)
    stock, ours = (
        10 * np.log10((right**2).mean() / ((_outputs(content) - right) ** 2).mean())
        for content in (result.stock_model, result.tflite_model)
    )
    assert ours > stock - 0.5  # a dense layer's codes chosen on few samples may lose a little on others
    types = [
        op.input(slot).type
        for graph in load(result.tflite_model).graphs
        for op in graph.ops
        for slot in _MATRICES.get(op.code, ())
    ]
    assert types
    assert set(types) == {TensorType.INT8}
    assert any("LSTM" in s.op for s in result.report.skipped) == (k is tf_keras)


def test_steps_share_a_bias() -> None:
    keras.utils.set_random_seed(0)
    x = keras.Input((20, 16), name="x")
    model = keras.Model(x, keras.layers.Dense(4)(keras.layers.LSTM(64, unroll=True)(x)))
    data = np.random.default_rng(1).normal(size=(48, 20, 16)).astype(np.float32).cumsum(axis=1)
    result = tfmpq.convert(model, data, activations="float", budget=tfmpq.ExtraBits(0.0), progress=False)
    # A bias for each of 20 steps and two matrices would be 40 kB, half of stock's whole file.
    assert len(result.tflite_model) < len(result.stock_model)
