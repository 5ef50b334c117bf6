"""Chosen codes of LSTMs lose less than the nearest on data that nothing was fitted to, or are not taken."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np
import pytest

import tfmpq
from converters.frontend.dynamic_file import dynamic_file
from converters.frontend.load import load_model
from converters.layers.lstm_gates import MATRICES, is_lstm
from converters.runtime.interpreter import make_interpreter, outputs, run
from converters.runtime.values import dequantize
from converters.targets import load_target
from converters.tflite.graph import Op
from converters.tflite.reader import load
from tests.support.lstm_files import STEPS, WIDTH, lstm_file, lstm_graph, lstm_weights, sequences
from tfmpq.activations.mend import Activations
from tfmpq.activations.subject import Case, Subject
from tfmpq.data.holdout import hold_out
from tfmpq.data.representative import check_samples
from tfmpq.options import Options
from tfmpq.recipe.rules import Recipe
from tfmpq.recurrent.choose import choose_lstm_codes

ONE, OTHER = lstm_weights(0), lstm_weights(1)


def decibels(result: tfmpq.ConversionResult, content: bytes, signature: str | None = None) -> float:
    """Signal to noise of a file's output on sequences of another seed."""
    right, ours = (_values(c, signature) for c in (result.float_model, content))
    return float(10 * np.log10((right**2).mean() / ((ours - right) ** 2).mean()))


def _values(content: bytes, signature: str | None) -> np.ndarray:
    interpreter = make_interpreter(content)
    data = sequences(24, seed=5)[:, None]
    if signature is not None:
        runner = interpreter.get_signature_runner(signature)  # whose states go on from one to the next
        return np.stack([runner(x=x)["y"] for x in data])
    detail = outputs(interpreter)[0]
    return np.stack([dequantize(run(interpreter, {"x": x})[0], detail) for x in data])


def lstms(content: bytes, number: int = 0) -> list[Op]:
    return [op for op in load(content).graphs[number].ops if is_lstm(op)]


def started(content: bytes, data: np.ndarray) -> tuple[Activations, Case]:
    """A conversion with float activations up to where codes are chosen."""
    floats = load_model(content)
    model = load(floats.flatbuffer)
    base = dynamic_file(model)
    split = hold_out(check_samples(data, floats.inputs))
    case = Case(floats, model, base, split, Options(activations="float"), Recipe([]), load_target("xnnpack"))
    return Activations(Subject(model), base), case


@pytest.mark.parametrize(
    ("activations", "gain"),
    # 5.1 and 1.5 dB measured: beside int8 activations most of the noise is theirs.
    [("float", 3.0), ("int8", 0.7)],
)
def test_better_than_nearest(activations: Literal["float", "int8"], gain: float, monkeypatch: pytest.MonkeyPatch):
    content, data = lstm_file(lstm_graph("main", [ONE])), sequences(64)
    ours = tfmpq.convert(content, data, bits=8, activations=activations, validate=True, progress=False)
    (done,) = [entry for entry in ours.report.mended if entry.kind == "codes"]
    assert done.where == "main/lstm0"
    assert done.before_db is not None
    assert done.after_db is not None
    assert done.after_db > done.before_db + gain
    assert "codes of LSTMs" in str(ours.report)
    monkeypatch.setattr("tfmpq.pipeline.choose_lstm_codes", lambda mended, case: mended)
    nearest = tfmpq.convert(content, data, bits=8, activations=activations, progress=False)
    assert decibels(ours, ours.tflite_model) > decibels(nearest, nearest.tflite_model) + gain
    assert decibels(ours, ours.eight_bit_model) > decibels(nearest, nearest.eight_bit_model) + gain
    assert len(ours.tflite_model) == len(nearest.tflite_model)
    for mine, theirs in zip(lstms(ours.tflite_model), lstms(nearest.tflite_model), strict=True):
        for slot in MATRICES:
            assert mine.input(slot).scale == theirs.input(slot).scale
            assert mine.input(slot).data != theirs.input(slot).data


def test_the_same_bytes_every_time():
    content, data = lstm_file(lstm_graph("main", [ONE, OTHER])), sequences(40)
    first, second = (choose_lstm_codes(*started(content, data)).base.content for _ in range(2))
    assert first == second


def test_shared_weights_stay_one():
    mended, case = started(lstm_file(lstm_graph("main", [ONE, ONE])), sequences(40))
    done = choose_lstm_codes(mended, case)
    assert len(done.subject.mended) == 1
    first, second = lstms(done.base.content)
    assert all(first.input(slot).data is second.input(slot).data for slot in MATRICES)
    assert first.input(2).data != lstms(mended.base.content)[0].input(2).data


def test_steps_in_front():
    data = sequences(40, steps_first=True)
    # Samples are told by their first dimension, which the graph has steps in.
    feeds = [{"x": x.reshape(STEPS, 1, WIDTH)} for x in data]
    mended, case = started(lstm_file(lstm_graph("main", [ONE], steps_first=True)), np.ones((1, STEPS, 1, WIDTH)))
    split = replace(case.data, judge=feeds[:8], held_out=feeds[8:16], fit=_Fixed(feeds[16:]))
    (entry,) = choose_lstm_codes(mended, replace(case, data=split)).subject.mended
    assert entry.before_db is not None
    assert entry.after_db is not None
    assert entry.after_db > entry.before_db + 10  # 17 dB measured


def test_a_second_signature_follows():
    content = lstm_file(lstm_graph("main", [ONE]), lstm_graph("other", [ONE]))
    result = tfmpq.convert(content, {"main": sequences(40)}, bits=8, activations="float", progress=False)
    (first,), (second,) = (lstms(result.tflite_model, number) for number in (0, 1))
    assert all(first.input(slot).data == second.input(slot).data for slot in (*MATRICES, 12, 13, 14, 15))
    for signature in ("main", "other"):
        assert decibels(result, result.tflite_model, signature) > decibels(result, result.stock_model, signature) + 3


def test_codes_that_do_not_hold_are_not_taken():
    """Data to judge by are of other mixtures than those that codes were fitted to."""
    mended, case = started(lstm_file(lstm_graph("main", [ONE])), sequences(40))
    noise = np.random.default_rng(3).normal(size=(8, 1, STEPS, WIDTH)).astype(np.float32) * 3
    others = replace(case.data, judge=[{"x": x} for x in noise])
    done = choose_lstm_codes(mended, replace(case, data=others))
    assert done is mended
    assert choose_lstm_codes(mended, case) is not mended


def test_no_lstms():
    graph = lstm_graph("main", [ONE])
    head = graph.ops[-1]
    graph.inputs, graph.ops = [head.input(0)], [head]
    mended, case = started(lstm_file(graph), np.ones((4, 1, *head.input(0).shape[1:]), np.float32)[:, 0])
    assert choose_lstm_codes(mended, case) is mended


class _Fixed:
    """Samples as they are."""

    def __init__(self, feeds: list[dict[str, np.ndarray]]) -> None:
        self._feeds, self.count = feeds, len(feeds)

    def __call__(self):
        return iter(self._feeds)


@pytest.mark.slow
def test_a_network_whose_only_large_weights_are_an_lstm_s():
    """A file is made for its codes, with nothing else in it that gets points."""
    import tf_keras

    tf_keras.utils.set_random_seed(0)
    x = tf_keras.Input((STEPS, WIDTH), batch_size=1, name="x")
    model = tf_keras.Model(x, tf_keras.layers.Dense(4, name="head")(tf_keras.layers.LSTM(64, name="recurrent")(x)))
    result = tfmpq.convert(model, list(sequences(48, seed=1)[:, None]), activations="float", progress=False)
    assert not result.report.layers
    assert [entry.kind for entry in result.report.mended] == ["codes"]
    assert decibels(result, result.tflite_model) > decibels(result, result.stock_model)
    assert "no layer was rewritten" in str(result.report)
