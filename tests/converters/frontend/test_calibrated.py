"""Ranges that the quantizer would die of are errors that name the layer."""

from __future__ import annotations

from typing import Any

import flatbuffers
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from converters.errors import ModelError
from converters.frontend.load import load_model
from converters.frontend.tf_converter import int8_twin

keras = pytest.importorskip("keras")


def twin_of(body: Any, scale: float) -> bytes:
    keras.utils.set_random_seed(0)
    x = keras.Input((16,), name="x")
    model = keras.Model(x, keras.layers.Dense(4)(body(keras.layers.Dense(8, name="before")(x))))
    data = np.random.default_rng(0).normal(size=(8, 1, 16)).astype(np.float32) * np.float32(scale)
    return int8_twin(load_model(model), lambda: iter([{"x": row} for row in data]))


@pytest.mark.parametrize("name", ["exponential", "softplus"])
def test_activations_that_overflow_are_named(name: str):
    layer = keras.layers.Activation(name, name="steep")
    assert twin_of(layer, 1.0)
    with pytest.raises(ModelError, match=r"overflow float32 .* layer 'steep', EXP writing .* to inf\)"):
        twin_of(layer, 300.0)


def test_sums_that_overflow_everywhere_are_named():
    def steep(x: Any) -> Any:
        return keras.layers.Dense(8, kernel_initializer=keras.initializers.Constant(1e30), name="steep")(x * x)

    with pytest.raises(ModelError, match="layer 'steep'"):
        twin_of(steep, 1e6)


def test_the_lowest_number_may_stand_for_a_mask():
    lowest = float(np.finfo(np.float32).min)
    assert twin_of(lambda x: keras.ops.softmax(keras.ops.where(x > 0, x, lowest)), 1.0)


def test_tensors_without_a_name_have_ranges_too():
    x = keras.Input((4,), name="x")
    model = keras.Model(x, keras.layers.Dense(3)(keras.layers.Dense(4, name="before")(x)))
    loaded = load_model(model)
    edited: Any = schema.ModelT.InitFromPackedBuf(loaded.flatbuffer, 0)
    (graph,) = edited.subgraphs
    graph.tensors[graph.operators[0].outputs[0]].name = None
    builder = flatbuffers.Builder(1024)
    builder.Finish(edited.Pack(builder), b"TFL3")
    nameless = load_model(bytes(builder.Output()))
    rows = np.random.default_rng(0).normal(size=(4, 1, 4)).astype(np.float32)
    assert int8_twin(nameless, lambda: iter([{"x": row} for row in rows]))
