"""Ranges that the quantizer would die of are errors that name the layer; others may be set by hand."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import flatbuffers
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from converters.errors import ModelError, OptionError
from converters.frontend.float_model import FloatModel
from converters.frontend.load import load_model
from converters.frontend.tf_converter import int8_twin
from converters.tflite.graph import Graph
from converters.tflite.reader import load

keras = pytest.importorskip("keras")

Ranges: TypeAlias = Mapping[str, tuple[float, float]]
Scales: TypeAlias = dict[str, tuple[float, int]]  # tensor name -> scale, zero point


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


# ---------------------------------------------------------------- ranges set by hand


@pytest.fixture(scope="module")
def joined() -> FloatModel:
    """A branch that its join gives a scale, a fused cap, a pool, and an output of fixed scale."""
    keras.utils.set_random_seed(0)
    layers = keras.layers
    x = keras.Input((8, 8, 4), name="x")
    plain = layers.Conv2D(4, 3, padding="same", name="plain")(x)
    capped = layers.ReLU(6.0)(layers.Conv2D(4, 3, padding="same", name="capped")(x))
    y = layers.MaxPooling2D(2, name="pool")(layers.Concatenate(name="join")([plain, capped]))
    y = layers.Conv2D(6, 3, activation="relu6", name="after")(y)
    result = layers.Softmax(name="soft")(layers.Dense(3, name="head")(layers.Flatten(name="flatten")(y)))
    return load_model(keras.Model(x, result, name="net"))


def twin_with(model: FloatModel, ranges: Ranges, io_dtype: str = "int8") -> Graph:
    rows = np.random.default_rng(0).normal(size=(4, 1, 8, 8, 4)).astype(np.float32)
    content = int8_twin(model, lambda: iter([{"x": r} for r in rows]), io_dtype=io_dtype, ranges=ranges)
    return load(content).graph


def scales(graph: Graph) -> Scales:
    quantized = (t for t in graph.tensors() if t.data is None and t.quantization is not None)
    return {t.name: (t.scale, t.zero_point) for t in quantized}


@pytest.fixture(scope="module")
def measured(joined: FloatModel) -> Scales:
    return scales(twin_with(joined, {}))


@pytest.mark.parametrize(
    ("part", "span", "wanted", "also"),
    [
        ("serving_default_x", (-1.0, 4.1), (5.1 / 255, -78), set()),
        ("/after_1/", (0.0, 2.55), (2.55 / 255, -128), {"/flatten_1/"}),
        ("/after_1/", (-0.5, 25.0), (25.5 / 255, -123), {"/flatten_1/"}),  # wider than the fused cap lets it be
        ("/head_1/", (1.0, 5.1), (5.1 / 255, -128), set()),  # without 0
        ("/head_1/", (-5.1, -3.0), (5.1 / 255, 127), set()),
        ("/join_1/", (-1.0, 1.55), (2.55 / 255, -28), {"/plain_1/", "/capped_1/", "/pool_1/"}),
    ],
)
def test_a_tensor_has_the_scale_of_the_range_set(
    joined: FloatModel, measured: Scales, part: str, span: tuple[float, float], wanted: Any, also: set[str]
):
    (name,) = (n for n in measured if part in n)
    found = scales(twin_with(joined, {name: span}))
    assert found[name] == (pytest.approx(wanted[0], rel=1e-6), wanted[1])  # a float32
    changed = {n for n in found if found[n] != measured[n]}
    assert changed == {name} | {n for n in measured if any(other in n for other in also)}
    assert all(found[n] == found[name] for n in changed)


@pytest.mark.parametrize("part", ["/plain_1/", "/capped_1/", "/pool_1/", "StatefulPartitionedCall"])
def test_tensors_without_a_scale_of_their_own_ignore_ranges(joined: FloatModel, measured: Scales, part: str):
    (name,) = (n for n in measured if part in n)
    assert scales(twin_with(joined, {name: (-0.1, 0.2)})) == measured


@pytest.mark.parametrize("io_dtype", ["uint8", "float32"])
def test_an_input_of_another_type_has_the_range_too(joined: FloatModel, measured: Scales, io_dtype: str):
    (name,) = (n for n in measured if "serving_default_x" in n)
    first = twin_with(joined, {name: (-1.0, 4.1)}, io_dtype).ops[0]
    assert (first.name, first.outputs[0].zero_point) == ("QUANTIZE", -78)
    assert first.outputs[0].scale == pytest.approx(5.1 / 255, rel=1e-6)


def test_ranges_that_cannot_be_set(joined: FloatModel, measured: Scales):
    (name,) = (n for n in measured if "/after_1/" in n)
    for span in ((2.0, 1.0), (0.0, float("inf")), (float("nan"), 1.0), (-3e38, 3e38)):
        with pytest.raises(OptionError, match=r"no range for int8 values of '.*after_1.*: give .smallest, largest"):
            twin_with(joined, {name: span})
    for other in ("nothing", "net_1/after_1/convolution"):  # the latter: a weight
        with pytest.raises(OptionError, match=rf"no float activation '{other}'.*constants, integers"):
            twin_with(joined, {other: (0.0, 1.0)})
