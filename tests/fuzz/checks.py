"""What must hold of every conversion of a generated network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

import tfmpq
from converters.errors import ConversionError
from converters.runtime.interpreter import Kernels, make_interpreter, outputs, run
from converters.runtime.values import dequantize
from tests.fuzz.graphs import Case, make
from tfmpq import ExtraBits
from tfmpq.report.proxies import sqnr_db

_MOST_UNDER = 2.0  # dB that a file whose rows are as fine as stock's int8 may lie under it
_MOST_APART = 3.0  # dB between kernels, which round differently by a step
_PRECISE = 60.0  # dB from which differences mean nothing: outputs that hardly vary


def check(seed: int) -> str | None:
    """Converts a seed's network, which holds every operator against the integer reference, and judges the file.

    Returns:
        What is wrong; None if nothing.
    """
    case = make(seed)
    try:
        result = tfmpq.convert(case.model, lambda: iter(case.data), **case.options)
    except ConversionError as error:
        return None if _rightly(str(error), case.options) else f"refused, {_options(case)}: {error}"
    assert result.report.validation is not None
    exact = _run_all(result.float_model, case, "xnnpack")
    ours, others = (_decibels(_run_all(result.tflite_model, case, k), exact) for k in ("xnnpack", "builtin"))
    stock = _decibels(_run_all(result.stock_model, case, "xnnpack"), exact)
    wrong = []
    for name, db in ours.items():
        if case.fine and stock[name] - db > _MOST_UNDER:
            wrong.append(f"output {name!r} {db:.1f} dB, stock {stock[name]:.1f} dB")
        if abs(db - others[name]) > _MOST_APART and min(db, others[name]) < _PRECISE:
            wrong.append(f"output {name!r} {db:.1f} dB, without XNNPACK {others[name]:.1f} dB")
    return f"coarse, {_options(case)}: {'; '.join(wrong)}" if wrong else None


def _options(case: Case) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in case.options.items())


def _rightly(message: str, options: Mapping[str, Any]) -> bool:
    """Whether a refusal is none that a better conversion would do without."""
    if "TensorFlow cannot convert it: 'tfl." in message:  # its own converter makes an operator that it does not accept
        return True
    if "the stock int8 file that TensorFlow makes of it" in message:
        return "at operator" in message
    # Rows may get points that the form they are asked in cannot hold.
    apart = options["lowering"] in ("fused", "split") and options.get("algorithm") in ("greedy", "nearest")
    return "do not merge" in message and apart and options["budget"] != ExtraBits(0.0)


def _run_all(content: bytes, case: Case, kernels: Kernels) -> dict[str, np.ndarray]:
    """Real outputs by name, of the samples to judge by."""
    interpreter = make_interpreter(content, kernels=kernels)
    found: dict[str, list[np.ndarray]] = {}
    for feed in case.judged:
        raw = run(interpreter, feed)
        for value, detail in zip(raw, outputs(interpreter), strict=True):
            found.setdefault(detail.name, []).append(dequantize(value, detail))
    return {name: np.concatenate(values).astype(np.float64) for name, values in found.items()}


def _decibels(found: Mapping[str, np.ndarray], exact: Mapping[str, np.ndarray]) -> dict[str, float]:
    return {n: sqnr_db(float(np.sum(e**2)), float(np.sum((found[n] - e) ** 2))) for n, e in exact.items()}
