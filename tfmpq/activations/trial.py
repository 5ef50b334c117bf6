"""Two int8 files of one network side by side, on samples nothing was fitted to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from converters.frontend.tf_converter import int8_twin
from converters.runtime.interpreter import make_interpreter, outputs, run
from converters.runtime.values import dequantize
from converters.tflite.file import File
from converters.tflite.writer import save
from tfmpq.activations.subject import Case, Subject
from tfmpq.threads import INFERENCE_THREADS

Finish = Callable[[bytes, Subject], File]
_MOST = 32  # samples


def gain_of(before: Subject, after: Subject, case: Case, finish: Finish) -> float:
    """What a step gains at the outputs of the int8 file: dB of signal to noise, mean over outputs.

    Args:
        before: without the step.
        after: with it.
        case: the conversion; ``judge`` is measured on.
        finish: the last touches to an int8 file.
    """
    float_values = _outputs(case.float_model.flatbuffer, case)
    noises = [_noises(float_values, _outputs(_file(s, case, finish).content, case)) for s in (before, after)]
    return float(10 * np.mean(np.log10(noises[0]) - np.log10(noises[1])))


def _file(subject: Subject, case: Case, finish: Finish) -> File:
    if subject.model is case.model and not subject.ranges:
        return case.stock
    written = replace(case.float_model, flatbuffer=save(subject.model), public_int8=None)
    options = case.options
    twin = int8_twin(written, case.data.whole.originals, io_dtype=options.io_dtype, ranges=subject.ranges)
    return finish(twin, subject)


def _outputs(content: bytes, case: Case) -> list[np.ndarray]:
    interpreter = make_interpreter(content, threads=INFERENCE_THREADS)
    details = outputs(interpreter)
    runs = [run(interpreter, feeds) for feeds in case.data.judge[:_MOST]]
    return [np.stack([dequantize(r[i], detail) for r in runs]) for i, detail in enumerate(details)]


def _noises(reference: list[np.ndarray], found: list[np.ndarray]) -> np.ndarray:
    """Mean square of the difference, relative to the variance, at least of a float32's rounding; one an output."""
    pairs = [(a.astype(np.float64), b.astype(np.float64)) for a, b in zip(reference, found, strict=True)]
    return np.array([max(np.square(a - b).mean() / max(a.var(), 1e-30), 1e-14) for a, b in pairs])
