"""The compact form: what it costs, and that it is the smallest form of the same points."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pytest

import tfmpq
from converters.lowering.form import OP_BYTES, Request, segments_of
from converters.lowering.forms import FORMS
from converters.targets import load_target, predict
from converters.tflite.graph import TensorType
from converters.tflite.reader import load
from tests.support.pipeline import Converted, convert_once, run_raw
from tfmpq.recipe.rules import LayerSettings

TARGET = load_target("xnnpack")


def net() -> Any:
    import keras

    keras.utils.set_random_seed(0)
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((8, 8, 4), name="x"),
            layers.Conv2D(32, 3, padding="same", activation="relu", name="first"),
            layers.Conv2D(48, 3, padding="same", activation="relu", name="wide"),
            layers.Conv2D(64, 1, activation="relu", name="pointwise"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(40, name="last"),
        ]
    )


def samples() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(40, 8, 8, 4)).astype(np.float32)


@functools.cache
def converted() -> Converted:
    return convert_once(net(), [{"x": row[None]} for row in samples()[:12]])


def asked(name: str, several: int, **changes: Any) -> Request:
    layer = converted().layers[name]
    counts = np.ones(layer.channels, np.int64)
    counts[:several] = 2
    return Request(**{"layer": layer, "segments": segments_of(counts), "bits": 4, "merges": True, **changes})


def test_rows_of_two_points_take_what_8_bits_take():
    form = FORMS["compact"]
    for name in ("wide", "pointwise"):
        layer = converted().layers[name]
        one, two = (form.cost(asked(name, n), TARGET).bytes for n in (10, 11))
        assert two - one == layer.columns / 2
    whole = FORMS["fused"].cost(asked("wide", 0), TARGET)
    for several in range(49):
        request = asked("wide", several)
        cost = form.cost(request, TARGET)
        assert cost.microseconds == whole.microseconds  # what runs is the expansion
        assert (form.refuses(request) == "") == (cost.bytes >= whole.bytes or several == 48)
        frozen = asked("wide", several, frozen="of a test")
        assert several == 0 or form.cost(frozen, TARGET).bytes >= cost.bytes


@pytest.mark.parametrize("several", [0, 6, 24, 47, 48])
def test_predicted_bytes_are_those_of_the_file(several: int):
    """Relative to int8; 450 bytes for an operator are meant for longer names than these, and for more tensors."""
    rows = {"wide": converted().rows("wide", LayerSettings(4, 2, "radix", ""), 1 + (np.arange(48) < several))}
    compact, fused = (converted().emit(rows, form).content for form in ("compact", "fused"))
    request = asked("wide", several)
    form = FORMS["compact"] if FORMS["compact"].refuses(request) is None else FORMS["fused"]
    predicted = form.cost(request, TARGET).bytes - FORMS["fused"].cost(request, TARGET).bytes
    assert len(compact) - len(fused) == pytest.approx(predicted, abs=700)
    assert len(compact) <= len(fused)


# By day rows of one point and of two.
@pytest.mark.slow
@pytest.mark.parametrize("extra", [0.1, *(pytest.param(extra, marks=pytest.mark.nightly) for extra in (0.0, 0.6))])
def test_compact_is_the_smallest_and_its_time_is_that_of_its_expansion(extra: float):
    files = {}
    for lowering in ("auto", "compact", "fused"):
        result = tfmpq.convert(
            net(), samples(), lowering=lowering, budget=tfmpq.ExtraBits(extra), sensitivity="energy", progress=False
        )
        files[lowering] = result
    content = files["compact"].tflite_model
    assert len(content) <= min(len(result.tflite_model) for result in files.values())
    assert files["compact"].plan.layers["last"].settings.bits == 4  # as in the other forms
    expanded = tfmpq.expand(content)
    stock = load(files["compact"].stock_model).graph
    ratio = predict(load(expanded).graph, TARGET) / predict(stock, TARGET)
    assert files["compact"].report.lowering_costs[0].latency_ratio == pytest.approx(ratio)
    assert any(t.type == TensorType.INT4 for t in load(content).graph.tensors())
    feeds = [{"x": row[None]} for row in samples()[:4]]
    for ours, theirs in zip(run_raw(content, feeds), run_raw(expanded, feeds), strict=True):
        # Built-in kernels compute INT4 convolutions, which round now and then to the other side, layer after layer.
        assert np.abs(ours.astype(int) - theirs).max() <= 2


def test_what_is_put_back_later_costs_a_gather():
    """In the file, and in its expansion too: 8x8 positions are mixed up to there. What lies in place costs none."""
    form = FORMS["compact"]
    plain, later = (form.cost(asked("pointwise", 8, restored=n), TARGET) for n in (0, 64))
    assert later.bytes - plain.bytes == OP_BYTES + 4 * 64
    assert later.microseconds > plain.microseconds
    assert form.cost(asked("pointwise", 8, restored=64, in_place=True), TARGET) == plain
    moved, stays = (form.cost(asked("wide", 8, frozen=why), TARGET) for why in (None, "it is an output"))
    assert stays.bytes - moved.bytes == OP_BYTES + 4 * 48
    assert stays.microseconds == moved.microseconds  # expanding puts those rows back


def test_rows_that_only_their_order_keeps_from_being_smaller_say_so():
    form, frozen = FORMS["compact"], "it is an output"
    assert form.refuses(asked("pointwise", 8)) is None
    assert form.refuses(asked("pointwise", 8, frozen=frozen)) == f"the channel order must stay: {frozen}"
    assert form.refuses(asked("pointwise", 8, frozen=frozen, in_place=True)) is None
    assert form.refuses(asked("wide", 8, frozen=frozen)) is None  # large enough to pay for the GATHER
