"""What must hold of every conversion of a generated network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

import tfmpq
from converters.errors import ConversionError
from converters.runtime.interpreter import make_interpreter, outputs, run
from converters.runtime.values import dequantize
from tests.fuzz.graphs import Case, make
from tfmpq import ExtraBits
from tfmpq.report.proxies import sqnr_db

_MOST_DB = 2.0  # that a file whose rows are as fine as stock's int8 may lie under it


def check(seed: int) -> str | None:
    """What is wrong with the conversion of a seed's network; None if nothing."""
    case = make(seed)
    try:
        result = tfmpq.convert(case.model, lambda: iter(case.data), **case.options)
    except ConversionError as error:
        if _contradictory(case.options) and "do not merge" in str(error):
            return None
        return f"refused: {case.options}: {error}"
    validation = result.report.validation
    assert validation is not None
    fine = case.options["bits"] == 8 or seed % 2 == 0
    ours = _run_all(result.tflite_model, case)
    theirs, exact = _run_all(result.stock_model, case), _run_all(result.float_model, case)
    lines = []
    for number, (name, expected) in enumerate(exact.items()):
        signal = float(np.sum(expected.astype(float) ** 2))
        a, b = (sqnr_db(signal, float(np.sum((v[name].astype(float) - expected) ** 2))) for v in (ours, theirs))
        if fine and b - a > _MOST_DB:
            lines.append(f"output {number} {expected.shape}: {a:.1f} dB, stock {b:.1f} dB")
    return f"coarse: {case.options}: {'; '.join(lines)}" if lines else None


def _contradictory(options: Mapping[str, Any]) -> bool:
    """Whether rows may get points that the form they are asked in cannot hold."""
    apart = options["lowering"] in ("fused", "split") and options.get("algorithm") in ("greedy", "nearest")
    return apart and options["budget"] != ExtraBits(0.0)


def _run_all(content: bytes, case: Case) -> dict[str, np.ndarray]:
    """Real outputs by name, of the samples to judge by."""
    interpreter = make_interpreter(content)
    found: dict[str, list[np.ndarray]] = {}
    for feed in case.judged:
        raw = run(interpreter, feed)
        for value, detail in zip(raw, outputs(interpreter), strict=True):
            found.setdefault(detail.name, []).append(dequantize(value, detail))
    return {name: np.concatenate(values) for name, values in found.items()}
