"""Loops that TensorFlow's calibrator can run compute the same."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from converters.frontend.load import load_model
from converters.frontend.loops import with_copies
from converters.frontend.tf_converter import int8_twin
from converters.runtime.interpreter import make_interpreter, outputs, run
from converters.runtime.values import dequantize
from converters.tflite.graph import Graph
from converters.tflite.reader import load
from tests.support.recurrent_nets import DATA, recurrent


def bodies(content: bytes) -> list[Graph]:
    model = load(content)
    return [model.graphs[op.options.bodySubgraphIndex] for op in model.graph.ops if op.name == "WHILE"]


def values(content: bytes) -> np.ndarray:
    interpreter = make_interpreter(content)
    return np.stack([dequantize(run(interpreter, {"x": x[None]})[0], outputs(interpreter)[0]) for x in DATA])


@pytest.mark.parametrize("kind", ["lstm", "gru"])
def test_what_a_loop_hands_on_is_copied(kind: str):
    content = load_model(recurrent(keras, kind)).flatbuffer
    (before,), (after,) = bodies(content), bodies(with_copies(content))
    passed = [t.name for t in before.inputs if t in before.outputs and t in before.consumers()]
    assert passed
    names = {t.name for t in after.outputs}
    assert names.isdisjoint(passed)
    assert {f"{name}/kept" for name in passed} <= names
    np.testing.assert_array_equal(values(with_copies(content)), values(content))
    assert with_copies(with_copies(content)) == with_copies(content)


def test_files_without_such_loops_stay():
    keras.utils.set_random_seed(0)
    x = keras.Input((4,))
    content = load_model(keras.Model(x, keras.layers.Dense(2)(x))).flatbuffer
    assert with_copies(content) is content


def test_a_loop_in_int8():
    model = load_model(recurrent(keras, "gru"))
    content = int8_twin(model, lambda: iter([{"x": x[None]} for x in DATA]))
    right, found = values(model.flatbuffer), values(content)
    noise = ((found - right) ** 2).sum()
    assert 10 * np.log10((right**2).sum() / noise) > 25  # 33 dB measured: its state is int8 in each of 12 steps
    assert {"INT8"} == {name for body in bodies(content) for name in _types(body)}


def _types(body: Graph) -> set[str]:
    return {"INT8" if op.outputs[0].type == 9 else "other" for op in body.ops if op.name == "FULLY_CONNECTED"}
