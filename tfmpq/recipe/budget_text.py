"""Budgets and sizes as text, in command lines and files."""

from __future__ import annotations

import re

from converters.errors import OptionError
from tfmpq.recipe.budgets import Budget, Epsilon, ExtraBits, LikeStock, MaxBytes

_UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}


def parse_budget(text: str) -> Budget:
    """A budget from ``like_stock``, ``like_stock:2``, ``extra:0.10``, ``bytes:1.6MB`` or ``epsilon:0.01``.

    Raises:
        OptionError: None of these, or a value out of range.
    """
    kind, _, value = text.partition(":")
    if text == "like_stock":
        return LikeStock()
    try:
        amount, unit = _number_and_unit(value)
        if kind == "extra" and not unit:
            return ExtraBits(amount)
        if kind == "like_stock" and not unit:
            return LikeStock(amount)
        if kind == "epsilon" and not unit:
            return Epsilon(amount)
        if kind == "bytes" and unit in _UNITS:
            return MaxBytes(int(amount * _UNITS[unit]))
    except OptionError:
        raise
    except ValueError:  # no number
        pass
    raise OptionError(
        f"budget {text!r}: give like_stock, like_stock:2, extra:0.10, bytes:1600000 (or 1.6MB, 1.5MiB), or epsilon:0.01"
    )


def parse_size(text: str) -> int | None:
    """Bytes from ``1600000``, ``1.6MB`` or ``1.5MiB``; None: it is none of these."""
    try:
        amount, unit = _number_and_unit(text)
    except ValueError:
        return None
    return int(amount * _UNITS[unit]) if unit in _UNITS else None


def _number_and_unit(text: str) -> tuple[float, str]:
    """A number and its unit in capitals.

    Raises:
        ValueError: There is no number.
    """
    match = re.fullmatch(r"([0-9.]+(?:e-?[0-9]+)?)\s*([A-Za-z]*)", text.strip())
    return float(match[1] if match else ""), (match[2] if match else "").upper()
