"""How much the further points may cost."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from numbers import Real
from typing import Any

from converters.errors import OptionError
from converters.printable import shown


def _check(name: str, value: object, low: float, high: float, unit: str) -> None:
    number: Any = value  # float() of a huge integer would overflow
    if isinstance(value, bool) or not isinstance(value, Real) or not low <= number <= high:
        raise OptionError(f"{name}: {shown(value)} is out of range; give {unit} between {low:g} and {high:g}.")


@dataclass(frozen=True)
class ExtraBits:
    """Bytes of further points <= fraction x bytes of all one-point rows of the layers below 8 bits."""

    fraction: float

    def __post_init__(self) -> None:
        _check("ExtraBits", self.fraction, 0.0, 3.0, "a fraction")


@dataclass(frozen=True)
class LikeStock:
    """The smallest file that is about as close to the float model as the stock int8 file, on samples of the data.

    Never a larger file than stock's but where no points can be had for less; see :mod:`tfmpq.plan.like_stock`.

    Attributes:
        margin: by how many percentage points it may be further from the float model: of predictions that change, for a
            classifier, else of each output's variance that is error. None: see :mod:`tfmpq.measure.likeness`.
    """

    margin: float | None = None

    def __post_init__(self) -> None:
        if self.margin is not None:
            _check("LikeStock", self.margin, 0.0, 100.0, "a margin in percentage points")


@dataclass(frozen=True)
class MaxBytes:
    """The emitted file has at most ``bytes`` bytes."""

    bytes: int

    def __post_init__(self) -> None:
        _check("MaxBytes", self.bytes, 1, 2**31, "a number of bytes")


@dataclass(frozen=True)
class Epsilon:
    """The multipoint paper's rule: rows take points until output error <= value x output energy of the row."""

    value: float

    def __post_init__(self) -> None:
        _check("Epsilon", self.value, 0.0, 1.0, "a relative output error")


@dataclass(frozen=True)
class MaxDrop:
    """The fewest further points at which ``evaluate`` falls by at most ``points`` against the float model.

    Attributes:
        points: allowed fall, in the unit of ``evaluate`` (percentage points for a top-1 in percent).
        evaluate: .tflite bytes -> score, higher is better. Called with the float file first, so it must accept float
            and quantized inputs and outputs (`tfmpq.evaluate` does).
    """

    points: float
    evaluate: Callable[[bytes], float]

    def __post_init__(self) -> None:
        _check("MaxDrop", self.points, 0.0, 100.0, "a score difference")
        if not callable(self.evaluate):
            raise OptionError("MaxDrop: evaluate must be a function that takes .tflite bytes and returns a score.")


Budget = LikeStock | ExtraBits | MaxBytes | Epsilon | MaxDrop
