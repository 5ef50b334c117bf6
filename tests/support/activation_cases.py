"""A conversion up to where its activations are mended, and what becomes of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from converters.frontend.load import load_model
from converters.frontend.tf_converter import measured_twin
from converters.runtime.interpreter import make_interpreter, outputs, run
from converters.runtime.values import dequantize
from converters.targets import load_target
from converters.tflite.file import File
from converters.tflite.reader import load
from tfmpq.activations.subject import Case
from tfmpq.data.holdout import hold_out
from tfmpq.data.representative import check_samples
from tfmpq.options import Options
from tfmpq.recipe.rules import Recipe, Rule

Data: TypeAlias = np.ndarray | Mapping[str, np.ndarray]


def case_of(model: Any, data: Data, *rules: Rule) -> Case:
    """A Keras model as the steps of :mod:`tfmpq.activations.mend` get it."""
    floats = load_model(model)
    split = hold_out(check_samples(data, floats.inputs))
    stock, measured = measured_twin(floats, split.whole.originals)
    target = load_target("xnnpack")
    parts = File.parse(stock), split, Options(), Recipe(rules), target
    return Case(floats, load(floats.flatbuffer), *parts, measured=measured)


def output_of(content: bytes, samples: Sequence[Mapping[str, np.ndarray]]) -> np.ndarray:
    """Real values of a file's first output, float64, samples in a row."""
    interpreter = make_interpreter(content)
    detail = outputs(interpreter)[0]
    return np.concatenate([dequantize(run(interpreter, sample)[0], detail) for sample in samples]).astype(np.float64)


def sqnr(right: np.ndarray, other: np.ndarray) -> float:
    """Signal to noise in dB."""
    return float(10 * np.log10((right**2).sum() / max(((right - other) ** 2).sum(), 1e-30)))
