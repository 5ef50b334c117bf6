"""Recurrent layers convert, whatever they become, and are as good as stock int8 at least."""

from __future__ import annotations

from functools import cache
from typing import Any

import keras
import numpy as np
import pytest
import tf_keras

import tfmpq
from converters.runtime.interpreter import make_interpreter, outputs, run
from converters.runtime.values import dequantize
from tests.support.recurrent_nets import DATA, NETS, recurrent

pytestmark = pytest.mark.slow
# tf_keras exports the variables of stateful layers as inputs, which no runtime feeds.
_CASES = [(k, kind) for k in (keras, tf_keras) for kind in NETS if (k, kind) != (tf_keras, "stateful")]
# By day: what is a loop, an operator, and neither; with states, and several layers.
_BY_DAY = [(keras, kind) for kind in ("lstm", "gru", "bidirectional", "stacked", "stateful")]
_BY_DAY += [(tf_keras, kind) for kind in ("lstm", "gru", "bidirectional", "unrolled", "states")]


@cache
def converted(k: Any, kind: str) -> tfmpq.ConversionResult:
    return tfmpq.convert(recurrent(k, kind), DATA, bits=8, progress=False)


def first_output(content: bytes) -> np.ndarray:
    interpreter = make_interpreter(content)
    number = next(i for i, detail in enumerate(outputs(interpreter)) if detail.shape[-1] == 4)
    detail = outputs(interpreter)[number]
    return np.stack([dequantize(run(interpreter, {"x": x[None]})[number], detail) for x in DATA[-12:]])


@pytest.mark.parametrize(
    ("k", "kind"),
    [case if case in _BY_DAY else pytest.param(*case, marks=pytest.mark.nightly) for case in _CASES],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_conversion(k: Any, kind: str):
    result = converted(k, kind)
    right = first_output(result.float_model)
    errors = [((first_output(content) - right) ** 2).mean() for content in (result.tflite_model, result.stock_model)]
    stock, ours = (10 * np.log10((right**2).mean() / error) for error in errors[::-1])
    assert ours > 14  # the poorest is an LSTM of two directions
    left = {entry.op for entry in result.report.skipped}
    loops = any(layer.name.endswith("/MatMul_1") for layer in result.report.layers)
    # Ranges are chosen on other samples. Rounding errors go round in loops of 16 units: with the very scales of stock
    # but for two, which are finer here, one net loses 2 dB and another gains 11.
    assert ours > stock - (3.5 if loops else 1.5)
    assert loops == ("WHILE" not in left and "UNIDIRECTIONAL_SEQUENCE_LSTM" not in left and kind != "unrolled")


def test_loops_are_as_good_as_stock_s_on_average():
    """Of int8 activations, with rows of 8 bits."""
    k: Any = keras
    differences = []
    for kind in ("lstm", "gru", "bidirectional", "stacked"):
        result = converted(k, kind)
        right = first_output(result.float_model)
        errors = [
            ((first_output(content) - right) ** 2).mean() for content in (result.tflite_model, result.stock_model)
        ]
        differences.append(10 * np.log10(errors[1] / errors[0]))
    assert np.mean(differences) > 0
