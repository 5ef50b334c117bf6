"""How strongly an elementwise operator passes on a small change of what it reads."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from converters.tflite.graph import Op

_STEEPEST = 60.0  # exp of more says nothing new


def _leaky(op: Op, x: np.ndarray) -> np.ndarray:
    return np.where(x < 0, op.options.alpha, 1.0)


def _prelu(op: Op, x: np.ndarray) -> np.ndarray:
    alpha = op.input(1)
    usual = 1.0 if alpha.data is None else float(np.sqrt(np.square(alpha.array().astype(np.float64)).mean()))
    return np.where(x < 0, usual, 1.0)


def _between(low: float, high: float) -> Callable[[Op, np.ndarray], np.ndarray]:
    return lambda op, x: ((x > low) & (x < high)).astype(np.float64)


def _hard_swish(op: Op, x: np.ndarray) -> np.ndarray:
    return np.where(x < -3, 0.0, np.where(x > 3, 1.0, (2 * x + 3) / 6))


def _logistic(op: Op, x: np.ndarray) -> np.ndarray:
    y = 1 / (1 + np.exp(-np.clip(x, -_STEEPEST, _STEEPEST)))
    return y * (1 - y)


def _tanh(op: Op, x: np.ndarray) -> np.ndarray:
    return 1 - np.tanh(x) ** 2


def _elu(op: Op, x: np.ndarray) -> np.ndarray:
    return np.exp(np.clip(x, -_STEEPEST, 0.0))


def _same(op: Op, x: np.ndarray) -> np.ndarray:
    return np.ones_like(x)


_SLOPES: dict[str, Callable[[Op, np.ndarray], np.ndarray]] = {
    "RELU": _between(0.0, np.inf),
    "RELU6": _between(0.0, 6.0),
    "RELU_N1_TO_1": _between(-1.0, 1.0),
    "RELU_0_TO_1": _between(0.0, 1.0),
    "LEAKY_RELU": _leaky,
    "PRELU": _prelu,
    "ELU": _elu,
    "HARD_SWISH": _hard_swish,
    "LOGISTIC": _logistic,
    "TANH": _tanh,
    "ABS": _same,
    "NEG": _same,
}


def has_slope(op: Op) -> bool:
    """Whether :func:`slope` knows the operator: one of a single activation, each value by itself."""
    return op.name in _SLOPES


def slope(op: Op, values: np.ndarray) -> np.ndarray:
    """Derivative of the operator at the values, of the same shape.

    Args:
        op: that :func:`has_slope` knows; of a PRELU the root mean square of its slopes stands for each.
        values: what it reads.
    """
    return _SLOPES[op.name](op, np.asarray(values, np.float64))
