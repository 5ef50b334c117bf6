"""TensorFlow's quantizer may die or hang: that is an error, and the next model finds another process."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest

from converters.errors import ModelError
from converters.frontend import quantizer as quantizers
from converters.frontend.float_model import FloatModel
from converters.frontend.load import load_model
from converters.frontend.tf_converter import int8_twin
from converters.runtime.limits import Limits
from converters.runtime.process_pool import ProcessPool

keras = pytest.importorskip("keras")

WORKER = "converters.frontend.quantizer_worker"


@pytest.fixture(scope="module")
def steep() -> FloatModel:
    keras.utils.set_random_seed(0)
    x = keras.Input((16,), name="x")
    y = keras.layers.Dense(8, activation="exponential")(x)
    return load_model(keras.Model(x, keras.layers.Dense(4)(y), name="steep"))


def twin(model: FloatModel, scale: float) -> bytes:
    data = np.random.default_rng(0).normal(size=(8, 1, 16)).astype(np.float32) * np.float32(scale)
    return int8_twin(model, lambda: iter([{"x": row} for row in data]))


def test_a_quantizer_that_dies_is_an_error(steep: FloatModel, monkeypatch: pytest.MonkeyPatch):
    expected = twin(steep, 1.0)
    monkeypatch.setattr("converters.frontend.tf_converter.check_ranges", lambda *_: None)
    with pytest.raises(ModelError, match=r"'steep': TensorFlow cannot quantize it to int8: the process ends \(SIG"):
        twin(steep, 300.0)  # activations of infinity
    assert twin(steep, 1.0) == expected


def test_a_calibrator_that_dies_is_an_error(monkeypatch: pytest.MonkeyPatch):
    x = keras.Input((3, 4), name="x")
    model = load_model(keras.Model(x, keras.layers.LSTM(2)(x)))
    monkeypatch.setattr("converters.frontend.tf_converter.with_copies", lambda content: content)
    feeds = [{"x": np.ones((1, 3, 4), np.float32)}] * 2
    with pytest.raises(ModelError, match=r"its calibrator fails on sample 1: the process ends \(SIG"):
        int8_twin(model, lambda: iter(feeds))


def test_a_quantizer_that_hangs_is_given_up(steep: FloatModel, monkeypatch: pytest.MonkeyPatch):
    script = f"""
import time
from {WORKER} import _Worker, main
answer = _Worker.answer
_Worker.answer = lambda self, message: time.sleep(60) if message.what == "add" else answer(self, message)
main()
"""
    monkeypatch.setattr(quantizers, "_COMMAND", (sys.executable, "-c", script))
    monkeypatch.setattr(quantizers, "_processes", ProcessPool(quantizers.Quantizer))
    monkeypatch.setattr(quantizers, "limits_for", lambda size: Limits(1 << 33, 1.0 if size else 120.0))
    with pytest.raises(ModelError, match="its calibrator fails on sample 1: no result after 1 seconds"):
        twin(steep, 1.0)


def test_without_another_process_this_one_serves(steep: FloatModel, monkeypatch: pytest.MonkeyPatch):
    expected = twin(steep, 1.0)
    monkeypatch.setattr(quantizers, "_processes", ProcessPool(quantizers.Quantizer))
    for command in (("/no/such/python",), (sys.executable, "-c", "raise SystemExit(3)")):
        monkeypatch.setattr(quantizers, "_COMMAND", command)
        assert twin(steep, 1.0) == expected


def test_an_error_of_the_samples_ends_the_process(steep: FloatModel, monkeypatch: pytest.MonkeyPatch):
    started: list[Any] = []
    original = quantizers.Quantizer.begin

    def begin(self: Any, *arguments: Any) -> None:
        started.append(self)
        original(self, *arguments)

    def failing() -> Any:
        yield {"x": np.ones((1, 16), np.float32)}
        raise KeyboardInterrupt

    monkeypatch.setattr(quantizers.Quantizer, "begin", begin)
    with pytest.raises(KeyboardInterrupt):
        int8_twin(steep, failing)
    assert not started[0].usable
