"""Checks of what callers of :func:`tfmpq.convert` and :func:`tfmpq.prepare` ask for, before any work."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Literal, get_args

from converters.errors import OptionError
from converters.lowering.parallel import Storage
from converters.points import MAX_BITS, MAX_POINTS, MIN_BITS
from tfmpq.algorithms import ALGORITHMS
from tfmpq.recipe.budgets import Budget, Epsilon, ExtraBits, MaxBytes, MaxDrop
from tfmpq.recipe.rules import LOWERINGS, Recipe
from tfmpq.stages import Sensitivity

IoType = Literal["int8", "uint8", "float32"]


def check_preparation(options: Mapping[str, object]) -> None:
    """Checks the options of :func:`tfmpq.prepare`.

    Raises:
        OptionError: With the option, its value and what is allowed.
    """
    _integer(options, "bits", MIN_BITS, MAX_BITS)
    if options["max_points"] is not None:
        _integer(options, "max_points", 1, MAX_POINTS)
    if options["batch_size"] is not None:
        _integer(options, "batch_size", 1, 1)
    _integer(options, "seed", 0, 2**32 - 1)
    _choice(options, "lowering", LOWERINGS)
    _choice(options, "algorithm", tuple(ALGORITHMS))
    _choice(options, "sensitivity", get_args(Sensitivity))
    _choice(options, "io_dtype", get_args(IoType))
    if options["recipe"] is not None and not isinstance(options["recipe"], Recipe):
        raise OptionError(
            f"recipe={options['recipe']!r} is no Recipe; build Recipe([Rule(...)]) or Recipe.from_json(text)."
        )


def check_finish(*, budget: Budget, weights: Storage, max_latency_ratio: float | None) -> None:
    """Checks the options of :meth:`tfmpq.Prepared.finish`.

    Raises:
        OptionError: With the option, its value and what is allowed.
    """
    _choice({"weights": weights}, "weights", get_args(Storage))
    if not isinstance(budget, (ExtraBits, MaxBytes, Epsilon, MaxDrop)):
        raise OptionError(
            f"budget={budget!r} is no budget; give ExtraBits(fraction), MaxBytes(bytes), Epsilon(value) or "
            "MaxDrop(points, evaluate)."
        )
    ratio = max_latency_ratio
    if ratio is not None and (
        isinstance(ratio, bool) or not isinstance(ratio, (int, float)) or not math.isfinite(ratio) or ratio <= 0
    ):
        raise OptionError(
            f"max_latency_ratio={ratio!r} is out of range; give the most latency you accept relative to stock int8, "
            "such as 1.02, or None."
        )


def _integer(options: Mapping[str, object], name: str, low: int, high: int) -> None:
    value = options[name]
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise OptionError(f"{name}={value!r} is out of range; give a whole number from {low} to {high}.")


def _choice(options: Mapping[str, object], name: str, allowed: Sequence[str]) -> None:
    if options[name] not in allowed:
        raise OptionError(f"{name}={options[name]!r} is not known; choose one of {', '.join(map(repr, allowed))}.")
