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
from tfmpq.activations.values.sqnr import sqnr_db

_MOST_UNDER = 2.0  # dB that a file whose rows are as fine as stock's int8 may lie under it
_MOST_APART = 3.0  # dB between kernels, whose roundings differ by a step an operator, beyond what stock's differ by
_MOST_USUAL = 7.0  # dB of that, and where outputs vary less than their errors: such files show 6
_SIGNIFICANT = 3.0  # standard errors
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
    ours, others = (_noise(_run_all(result.tflite_model, case, k), exact) for k in ("xnnpack", "builtin"))
    stock, stocks = (_noise(_run_all(result.stock_model, case, k), exact) for k in ("xnnpack", "builtin"))
    wrong = []
    for name, values in exact.items():
        signal = float(np.sum(values**2))
        found, known, other = (sqnr_db(signal, float(n[name].sum())) for n in (ours, stock, others))
        if case.fine and _exceeds(ours[name], stock[name], _MOST_UNDER):
            wrong.append(f"output {name!r} {found:.1f} dB, stock {known:.1f} dB")
        pair, usual = (ours[name], others[name]), _apart(known, sqnr_db(signal, float(stocks[name].sum())))
        if float(np.sum((values - values.mean(axis=0)) ** 2)) < max(float(n.sum()) for n in pair):
            usual = _MOST_USUAL  # all samples are one draw
        if min(found, other) < _PRECISE and any(_exceeds(a, b, _MOST_APART + usual) for a, b in (pair, pair[::-1])):
            wrong.append(f"output {name!r} {found:.1f} dB, without XNNPACK {other:.1f} dB")
    return f"coarse, {_options(case)}: {'; '.join(wrong)}" if wrong else None


def _apart(first: float, second: float) -> float:
    """Difference in dB, as far as a like one is to be put up with."""
    return 0.0 if first == second else min(abs(first - second), _MOST_USUAL)


def _exceeds(noise: np.ndarray, known: np.ndarray, most_db: float) -> bool:
    """Whether one noise is larger than another by more than so many dB, and than chance.

    Scores of 0 and 1, for one, are wrong on a few samples and right on all others: which these are says little.

    Args:
        noise, known: of each sample.
        most_db: allowed.
    """
    beyond = noise - known * 10 ** (most_db / 10)
    return float(beyond.sum()) > _SIGNIFICANT * float(beyond.std()) * len(beyond) ** 0.5


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


def _noise(found: Mapping[str, np.ndarray], exact: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Squared error of every sample, by output."""
    return {n: ((found[n] - values) ** 2).reshape(len(values), -1).sum(axis=1) for n, values in exact.items()}
