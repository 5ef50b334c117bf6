"""Recurrent layers of Keras 3 get points like all others: their loops' bodies are networks of their own."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest

import tfmpq
from converters.errors import RecipeError
from converters.frontend.float_model import FloatModel
from converters.frontend.load import load_model
from converters.runtime.interpreter import make_interpreter, run
from converters.tflite.graph import TensorType
from converters.tflite.reader import load
from tests.support.loops import loop_net, samples
from tfmpq.analysis.diff import diff

pytestmark = pytest.mark.slow
DATA = samples()
QUIET: Any = {"progress": False}


@cache
def net(kind: str) -> FloatModel:
    """Converted to float once, which is the same each time."""
    return load_model(loop_net(kind))


@cache
def four_bits(kind: str, activations: Any) -> tfmpq.ConversionResult:
    """By the defaults."""
    io: Any = {"io_dtype": "float32"} if activations == "int8" else {}
    return tfmpq.convert(net(kind), DATA, activations=activations, **io, **QUIET)


def decibels(result: tfmpq.ConversionResult, content: bytes) -> float:
    """Of the output on samples that nothing was fitted to."""
    kept = samples(64)[48:]
    right, found = (
        np.stack([run(make_interpreter(c), {"x": x})[0] for x in kept]) for c in (result.float_model, content)
    )
    return float(10 * np.log10((right**2).mean() / ((right - found) ** 2).mean()))


def matrix_types(content: bytes) -> list[int]:
    """Types of the weights in the bodies of loops."""
    bodies = load(content).graphs[1:]
    return [op.input(1).type for body in bodies for op in body.ops if op.name == "FULLY_CONNECTED"]


# By day every kind and both sorts of activations, but not all pairs of them.
@pytest.mark.parametrize(
    ("kind", "activations"),
    [
        ("lstm", "int8"),
        ("lstm", "float"),
        ("gru", "int8"),
        pytest.param("gru", "float", marks=pytest.mark.nightly),
        pytest.param("bidirectional", "int8", marks=pytest.mark.nightly),
        ("bidirectional", "float"),
    ],
)
def test_four_bits(kind: str, activations: Any):
    result = four_bits(kind, activations)
    assert set(matrix_types(result.tflite_model)) == {TensorType.INT4}
    assert result.report.weights is not None
    assert result.report.weights.share == 1.0
    assert not result.report.skipped
    names = [layer.name for layer in result.report.layers]
    assert len(names) == (5 if kind == "bidirectional" else 3)
    assert set(names) == set(result.plan.layers)
    assert len(result.tflite_model) < 0.9 * len(result.stock_model)  # half of its 10,496 weights; the rest is structure
    # One 4-bit point costs about 20 dB of a layer of random weights; what steps add up to must not be much more.
    assert decibels(result, result.tflite_model) > 15


# By day every form once, and both sorts of activations.
@pytest.mark.parametrize(
    ("lowering", "activations"),
    [
        ("split", "int8"),
        pytest.param("split", "float", marks=pytest.mark.nightly),
        pytest.param("fused", "int8", marks=pytest.mark.nightly),
        ("fused", "float"),
        pytest.param("parallel", "int8", marks=pytest.mark.nightly),
        ("parallel", "float"),
        ("compact", "int8"),
        pytest.param("compact", "float", marks=pytest.mark.nightly),
    ],
)
def test_forms(lowering: str, activations: Any):
    """The same points in every form give the same numbers, but for the roundings that a form adds."""
    io: Any = {"io_dtype": "float32"} if activations == "int8" else {}
    result = tfmpq.convert(
        net("lstm"), DATA, activations=activations, lowering=lowering, budget=tfmpq.ExtraBits(1.0), **io, **QUIET
    )
    # 7 bits a row in effect: within 3 dB of the 8-bit file, whose noise is that of activations and rows of 8 bits.
    assert decibels(result, result.tflite_model) > decibels(result, result.eight_bit_model) - 3
    if lowering == "compact":
        expanded = tfmpq.expand(result.tflite_model)
        assert set(matrix_types(expanded)) == {TensorType.INT8}
        assert abs(decibels(result, expanded) - decibels(result, result.tflite_model)) < 3


def test_rules_for_layers_of_loops():
    rules = [tfmpq.Rule("^recurrent/MatMul$", bits=8), tfmpq.Rule("^recurrent/MatMul_1$", bits=3)]
    result = tfmpq.convert(net("gru"), DATA, activations="float", recipe=tfmpq.Recipe(rules), **QUIET)
    assert {layer.name: layer.bits for layer in result.report.layers} == {
        "recurrent/MatMul": 8,
        "recurrent/MatMul_1": 3,
        "head": 4,
    }
    whole = tfmpq.Recipe([tfmpq.Rule("^recurrent$", bits=8)])
    result = tfmpq.convert(net("gru"), DATA, activations="float", recipe=whole, **QUIET)
    assert [layer.bits for layer in result.report.layers] == [8, 8, 4]
    with pytest.raises(RecipeError, match="matches none"):
        tfmpq.convert(
            net("gru"), DATA, activations="float", recipe=tfmpq.Recipe([tfmpq.Rule("^other$", bits=8)]), **QUIET
        )


def test_a_network_that_is_one_loop():
    result = tfmpq.convert(loop_net("alone"), DATA, activations="float", **QUIET)
    assert [layer.name for layer in result.report.layers] == ["recurrent/MatMul_1", "recurrent/MatMul"]
    assert decibels(result, result.tflite_model) > 15


@pytest.mark.parametrize("activations", ["int8", "float"])
def test_two_loops_of_one_layer_stay_and_are_named_once(activations: Any):
    import keras

    x = keras.Input((8, 40), batch_size=1, name="x")
    twice = keras.layers.LSTM(40, return_sequences=True, name="twice")
    model = keras.Model(x, keras.layers.Dense(40, name="head")(twice(twice(x))), name="net")
    result = tfmpq.convert(model, DATA, activations=activations, **QUIET)
    assert [layer.name for layer in result.report.layers] == ["head"]
    (left,) = result.report.skipped
    assert left.name == "twice"
    assert "outside of it" in left.reason


def test_open_sizes():
    result = tfmpq.convert(loop_net("gru", steps=None, sequences=True), DATA, activations="float", **QUIET)
    assert set(matrix_types(result.tflite_model)) == {TensorType.INT4}
    for steps in (3, 8, 21):
        sample = samples(1, steps)[0]
        right, found = (run(make_interpreter(c), {"x": sample})[0] for c in (result.float_model, result.tflite_model))
        assert right.shape == (1, steps, 40)
        assert 10 * np.log10((right**2).mean() / ((right - found) ** 2).mean()) > 15


def test_same_bytes():
    again = tfmpq.convert(loop_net("lstm"), DATA, activations="float", **QUIET)
    assert again.tflite_model == four_bits("lstm", "float").tflite_model


def test_several_budgets_of_one_calibration():
    prepared = tfmpq.prepare(net("lstm"), DATA, activations="float", lowering="split", progress=False)
    small, large = (prepared.finish(budget=tfmpq.ExtraBits(extra), max_latency_ratio=9.0) for extra in (0.0, 0.5))
    assert len(small.tflite_model) < len(large.tflite_model)
    assert decibels(large, large.tflite_model) > decibels(small, small.tflite_model)


def test_inspection_knows_the_layers():
    found = str(tfmpq.inspect(four_bits("lstm", "float").tflite_model))
    assert found.count("INT4") == 3


def test_files_are_compared_by_what_a_loop_computes():
    """Not by the steps that it counts, which are always the same."""
    few, more = (
        tfmpq.convert(net("lstm"), DATA, activations="float", bits=bits, **QUIET).tflite_model for bits in (3, 8)
    )
    feeds = [{"x": x} for x in DATA[:8]]
    found = diff(few, more, lambda: iter(feeds), count=len(feeds), progress=False)
    loop = next(layer for layer in found.layers if layer.op == "WHILE")
    assert 5 < loop.sqnr_db < 40  # 3 bits against 8
