"""The methods of tfmpq.training side by side: what is trained, at which widths."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tfmpq import training
from tfmpq.training.course import Method

FLOAT, STOCK, DISTILLED = "float32", "stock int8", "distillation"
AFTERWARDS = {"post-training rounding": "nearest", "post-training points": "radix"}  # not trained: algorithm of convert
ONE, TWO, FEW_BITS = "one operator a layer", "two operators a layer", "activations of few bits"
Make = Callable[..., Any]  # (model, calibration, bits=, activation_bits=) -> student

_INT8 = 8
_LSQ: dict[str, Any] = {"ssg": False, "asr": False, "mde": False}


def _without(part: str | None = None) -> Make:
    switches = {} if part is None else {part: False}
    return lambda model, data, **widths: training.lg_lsq(model, data, **switches, **widths)


def _plain(model: Any, data: np.ndarray, **widths: Any) -> Any:
    return training.lg_lsq(model, data, learn_steps=False, **_LSQ, **widths)


def _lsq(model: Any, data: np.ndarray, **widths: Any) -> Any:
    return training.lg_lsq(model, data, **_LSQ, **widths)


def _inq(model: Any, data: np.ndarray, **widths: Any) -> Any:
    return training.inq(model, data, per_channel=True, least_error=True, **widths)


def _ttq(model: Any, data: np.ndarray, *, bits: int, activation_bits: int | None) -> Any:
    del bits  # two points of one bit and a sign
    return training.ttq(model, data, threshold=None, activation_bits=activation_bits)


@dataclass(frozen=True)
class Student:
    """A method that is trained by ``fit``.

    Attributes:
        make: what is trained.
        usual: the method whose usual rate and normalizations it is trained with.
    """

    make: Make
    usual: Method = "lg_lsq"


STUDENTS: dict[str, Student] = {
    "rounding + STE": Student(_plain),
    "LSQ": Student(_lsq),
    "LG-LSQ": Student(_without()),
    "LG-LSQ without SSG": Student(_without("ssg")),
    "LG-LSQ without ASR": Student(_without("asr")),
    "LG-LSQ without MDE": Student(_without("mde")),
    "INQ": Student(_inq, "inq"),
    "TTQ": Student(_ttq, "ttq"),
    "differentiable": Student(training.differentiable, "differentiable"),
}
METHODS = (*AFTERWARDS, DISTILLED, *STUDENTS)
_ABLATIONS = tuple(name for name in STUDENTS if "without" in name)


@dataclass(frozen=True)
class Widths:
    """Bits of weights and of activations; None: int8 activations as the data have them."""

    weights: int
    activations: int | None = None

    def __str__(self) -> str:
        return f"W{self.weights}A{self.activations or _INT8}"

    @staticmethod
    def parse(text: str) -> Widths:
        """Of ``W3A8``; 8 bits of activations are those of stock int8.

        Raises:
            ValueError: The text is no such thing.
        """
        found = re.fullmatch(r"W(\d)A(\d)", text.upper())
        if found is None:
            raise ValueError(f"{text!r} are no widths; give W3A8, say")
        weights, activations = map(int, found.groups())
        return Widths(weights, None if activations == _INT8 else activations)


WIDTHS = tuple(Widths.parse(text) for text in ("W4A8", "W3A8", "W2A8", "W4A4", "W3A3", "W2A2"))


def form_of(method: str, widths: str) -> str:
    """What an expanded file consists of: rows of several points that merge into int8 rows are one operator too."""
    if method in (FLOAT, STOCK):
        return method
    if method == "TTQ":
        return TWO
    return ONE if widths.endswith(f"A{_INT8}") else FEW_BITS


def rows(methods: Sequence[str], widths: Sequence[Widths]) -> list[tuple[str, Widths]]:
    """What is measured: few-bit activations for LSQ and LG-LSQ, ablations at W3A8, TTQ where it belongs."""
    return [(method, wide) for wide in widths for method in METHODS if method in methods and _measured(method, wide)]


def _measured(method: str, wide: Widths) -> bool:
    if wide.activations is not None:
        return method in ("LSQ", "LG-LSQ")
    if method in _ABLATIONS:
        return wide.weights == 3
    return method != "TTQ" or wide.weights == 2
