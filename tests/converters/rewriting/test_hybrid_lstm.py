"""Matrices of LSTM operators are rounded as TensorFlow's converter rounds them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from converters.frontend.dynamic_file import dynamic_file
from converters.frontend.stock_dynamic import stock_dynamic_file
from converters.native_logs import quiet
from converters.runtime.interpreter import make_interpreter, run
from converters.tflite.graph import BuiltinOperator, Model, Op, TensorType
from converters.tflite.reader import load

STEPS = 6


def _files(width: int, units: int, *, both_ways: bool = False) -> tuple[bytes, bytes]:
    """An LSTM in float, and as TensorFlow's converter makes it with dynamic-range quantization."""
    import tensorflow as tf
    import tf_keras
    from tf_keras import layers

    tf_keras.utils.set_random_seed(0)
    x: Any = tf_keras.Input((STEPS, width), batch_size=1, name="x")
    lstm = layers.LSTM(units)
    y = layers.Bidirectional(lstm)(x) if both_ways else lstm(x)
    net = tf_keras.Model(x, layers.Dense(4)(y))
    trace = tf.function(net).get_concrete_function(tf.TensorSpec(x.shape, x.dtype, "x"))
    holder: Any = tf.Module()  # with the network in its place tf_keras would trace every layer anew
    holder.variables_of_net = net.variables
    plain, dynamic = (tf.lite.TFLiteConverter.from_concrete_functions([trace], holder) for _ in range(2))
    dynamic.optimizations = [tf.lite.Optimize.DEFAULT]
    with quiet():
        return plain.convert(), dynamic.convert()


def _lstms(model: Model) -> list[Op]:
    return [op for op in model.graph.ops if op.code == BuiltinOperator.UNIDIRECTIONAL_SEQUENCE_LSTM]


@pytest.mark.parametrize(
    ("width", "units", "both_ways"),
    [
        pytest.param(40, 48, False, id="large"),
        pytest.param(40, 48, True, id="both-ways", marks=pytest.mark.slow),
        pytest.param(8, 48, False, id="small-matrices"),
        pytest.param(1, 1024, False, id="large-biases", marks=pytest.mark.slow),
    ],
)
def test_stock_is_what_tensorflow_makes(width: int, units: int, both_ways: bool) -> None:
    plain, theirs = _files(width, units, both_ways=both_ways)
    ours = stock_dynamic_file(load(plain))
    pairs = list(zip(_lstms(ours.model), _lstms(load(theirs)), strict=True))
    assert pairs
    for mine, other in pairs:
        assert mine.version == other.version
        assert mine.options.asymmetricQuantizeInputs == other.options.asymmetricQuantizeInputs
        for a, b in zip(mine.inputs, other.inputs, strict=True):
            assert (a is None) == (b is None)
            if a is None or b is None:
                continue
            assert (a.type, a.shape, a.data is None) == (b.type, b.shape, b.data is None)
            if a.data is not None and b.data is not None and a.type == TensorType.INT8:
                # A quotient next to a tie may be rounded to either side: one code in a thousand, by one.
                off = np.abs(a.array().astype(int) - b.array())
                assert (off > 0).mean() < 1e-3
                assert off.max() <= 1
            elif a.data is not None:
                np.testing.assert_array_equal(a.array(), b.array())
    x = {"x": np.random.default_rng(0).normal(size=(1, STEPS, width)).astype(np.float32)}
    mine, other = (run(make_interpreter(content), x)[0] for content in (ours.content, theirs))
    # A code that is off by one moves the outputs far less than rounding does, which is about 1% of them.
    np.testing.assert_allclose(mine, other, atol=1e-3 * max(1, np.abs(other).max()))


def test_the_base_has_the_same_matrices() -> None:
    model = load(_files(40, 48)[0])
    base, stock = dynamic_file(model).model, stock_dynamic_file(model).model
    for mine, other in zip(_lstms(base), _lstms(stock), strict=True):
        for slot in range(1, 9):
            assert mine.input(slot).type == TensorType.INT8
            assert mine.input(slot).data == other.input(slot).data
    assert all(op.input(1).type == TensorType.FLOAT32 for op in _lstms(dynamic_file(model, chosen=()).model))
