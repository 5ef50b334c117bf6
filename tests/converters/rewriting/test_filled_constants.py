"""What loops start with: large constants of one number become operators of a few bytes."""

from __future__ import annotations

import keras
import numpy as np
from keras import layers

from converters.frontend.load import load_model
from converters.rewriting.filled_constants import fill_starts
from converters.runtime.interpreter import make_interpreter, run
from converters.tflite.graph import Model
from converters.tflite.reader import load
from converters.tflite.writer import save
from tests.support.loops import WIDTH, samples

_STEPS = 40  # of 32 results each: 1,280 zeros


def filled(start: float | None = None) -> tuple[Model, bytes]:
    """A network whose loop starts with an array, of numbers of which one is ``start``, and its file as it was."""
    keras.utils.set_random_seed(0)
    x = keras.Input((_STEPS, WIDTH), batch_size=1, name="x")
    model = load(load_model(keras.Model(x, layers.GRU(32, return_sequences=True)(x))).flatbuffer)
    loop = next(op for op in model.graph.ops if op.name == "WHILE")
    if start is not None:
        array = loop.input(2).array().copy()
        array.flat[7] = start
        loop.input(2).data = array.tobytes()
    before = save(model)
    fill_starts(model.graph)
    return model, before


def test_the_same_numbers_in_fewer_bytes():
    model, before = filled()
    after = save(model)
    assert [op.name for op in model.graph.ops].count("FILL") == 1
    assert len(before) - len(after) > 4 * 32 * _STEPS - 300  # an operator and three tensors take less
    feeds = {"x": samples(1, _STEPS)[0]}
    expected, found = (run(make_interpreter(content), feeds)[0] for content in (before, after))
    np.testing.assert_array_equal(found, expected)


def test_other_constants_stay():
    for start in (1.0, -0.0):  # equal to zero, but other bits
        model, before = filled(start)
        assert save(model) == before
