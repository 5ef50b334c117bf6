"""Where an axis begins and ends, and what is written along it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

_TICKS = 7  # about so many
_STEPS = (1, 2, 2.5, 5, 10)
_LEAST = 1e-9  # of the largest value or 1: a smaller span is none
_ROOM = 0.06  # of the span, beyond the outermost values


@dataclass(frozen=True)
class Axis:
    """An axis.

    Attributes:
        low, high: values at its ends.
        ticks: values that are written along it.
        digits: behind their points.
    """

    low: float
    high: float
    ticks: tuple[float, ...]
    digits: int

    def share(self, value: float) -> float:
        """Where a value is, 0..1."""
        return (value - self.low) / (self.high - self.low)

    def text(self, value: float) -> str:
        """A tick in words."""
        return f"{value:,.{self.digits}f}"


def axis(values: Sequence[float], *, most: float | None = None) -> Axis:
    """An axis that shows all values and does not begin at 0, which intervals make no use of.

    Args:
        values: finite, at least one.
        most: a value that there cannot be more of, such as 100 %; the axis ends there at the latest.
    """
    low, high = min(values), max(values)
    span = next((x for x in (high - low, max(abs(low), abs(high))) if x > _LEAST * max(1.0, abs(low), abs(high))), 1.0)
    low, high = low - _ROOM * span, high + _ROOM * span
    if most is not None:
        high = min(high, max(most, max(values)))
    step = _step((high - low) / _TICKS)
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    digits = max(0, -math.floor(math.log10(step) + 1e-9))
    if round(step * 10**digits, 6) != round(step * 10**digits):  # steps of 2.5
        digits += 1
    return Axis(low, high, tuple(round(i * step, 12) for i in range(first, last + 1)), digits)


def _step(rough: float) -> float:
    """The next round number."""
    power = 10.0 ** math.floor(math.log10(rough))
    return next(step * power for step in _STEPS if step * power >= rough * (1 - 1e-9))
