"""Masks in front of softmaxes no longer set int8's range, and the float model computes what it did."""

from __future__ import annotations

import warnings
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

import tfmpq
from converters.errors import DataWarning
from converters.rewriting.masks import find_masks
from converters.runtime.interpreter import inputs, make_interpreter
from converters.tflite.writer import save
from tests.support.activation_cases import case_of, output_of, sqnr
from tests.support.masked_nets import CONSTANT_MASKS, masked
from tfmpq.activations import mend
from tfmpq.activations.masks.constants import mend_masks
from tfmpq.activations.subject import Case, Subject


def largest(subject: Subject) -> float:
    constants = (m.tensor.array() for m in find_masks(subject.model.graph, 0.0) if m.kind != "input")
    return max(float(np.abs(values).max()) for values in constants)


@pytest.mark.parametrize("kind", CONSTANT_MASKS)
def test_float_results_stay_and_int8_has_values_again(kind: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(mend, "_STEPS", [mend_masks])
    case = case_of(*masked(kind))
    done = mend.mend_activations(case)
    samples = case.data.held_out
    right = output_of(case.float_model.flatbuffer, samples)
    # exp() makes less than 2^-24 of what is masked, which float32 sums do not show.
    assert sqnr(right, output_of(save(done.subject.model), samples)) > 120
    # Scores are within +-10, or +-40 before they are scaled; the mask has to be 17 + ln 12 + 4 below, 4 times where
    # it is scaled with them.
    assert 15 < largest(done.subject) < 200
    stock, base = (sqnr(right, output_of(file.content, samples)) for file in (case.stock, done.base))
    assert stock < 15
    assert base > 28  # as good as int8 is here without a mask, within 3 dB
    (entry,) = done.subject.mended
    assert entry.kind == "mask"
    assert entry.before_db is not None
    assert entry.after_db is not None
    assert entry.before_db < 10 < 25 < entry.after_db


@pytest.mark.parametrize("big", [-30.0, -1e4, -3e38])
def test_masks_of_all_sizes(big: float):
    case = case_of(*masked("selected", big))
    done = mend_masks(Subject(case.model), case)
    assert (done.model is case.model) == (big == -30.0)  # nothing to gain
    assert largest(done) < 60


@pytest.mark.parametrize("reader", ["output", "maximum"])
def test_nothing_is_done_where_something_else_sees_the_scores(reader: str):
    case = case_of(*masked("constant", reader=reader))
    assert mend_masks(Subject(case.model), case).model is case.model


def rowless(kind: str) -> Case:
    """The first samples show no position at all: a softmax of equal values, or of the scores themselves."""
    model, data = masked(kind)
    shown = data["mask"].copy()
    shown[:20] = 0
    return case_of(model, {**data, "mask": shown})


def test_rows_that_are_masked_as_a_whole():
    # In place of the scores, all values are equal before and after.
    chosen = rowless("selected")
    assert mend_masks(Subject(chosen.model), chosen).model is not chosen.model
    # Beside -1e9 float32 loses the scores, beside -30 it does not: the softmax would no longer be even.
    added = rowless("one minus")
    assert mend_masks(Subject(added.model), added).model is added.model


def test_a_factor_of_other_values_than_0_and_1_is_no_mask():
    model, data = masked("one minus")
    case = case_of(model, {**data, "mask": np.random.default_rng(1).uniform(size=data["mask"].shape).astype("float32")})
    assert mend_masks(Subject(case.model), case).model is case.model


def previous_token() -> tuple[Any, np.ndarray, np.ndarray]:
    """Causal attention that learned to tell the token before, at nearly every place."""
    rng = np.random.default_rng(0)
    tokens = rng.integers(1, 12, (700, 8)).astype("int32")
    before = np.concatenate([tokens[:, :1], tokens[:, :-1]], 1)
    keras.utils.set_random_seed(0)
    given = layers.Input((8,), dtype="int32")
    angles = np.arange(8)[:, None] / 10 ** (np.arange(32)[None] / 12)
    x = layers.Embedding(12, 32)(given) * 6 + np.sin(angles).astype("float32")[None] / 2
    x = layers.LayerNormalization()(x + layers.MultiHeadAttention(2, 16, name="mix")(x, x, use_causal_mask=True))
    model: Any = keras.Model(given, layers.Dense(12)(layers.Dense(64, activation="relu")(x)))
    model.compile(keras.optimizers.Adam(1e-2), keras.losses.SparseCategoricalCrossentropy(True))
    model.fit(tokens[:600], before[:600], epochs=10, batch_size=32, verbose=0)
    return model, tokens, before


def test_a_trained_masked_network_keeps_its_accuracy():
    model, tokens, before = previous_token()
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        result = tfmpq.convert(model, tokens[:64], bits=8, progress=False)
    (name,) = (detail.name for detail in inputs(make_interpreter(result.float_model)))
    samples = [{name: row[None]} for row in tokens[600:]]
    right, stock, mended = (
        float((output_of(content, samples).argmax(-1) == before[600:]).mean())
        for content in (result.float_model, result.stock_model, result.tflite_model)
    )
    assert right > 0.95
    assert stock < 0.6
    assert mended > right - 0.04  # 22 dB of noise, as without a mask, turn some of 800 places
    texts = [str(w.message) for w in said if issubclass(w.category, DataWarning)]
    assert not any("masked" in text for text in texts), texts
