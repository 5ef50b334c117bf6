"""Values that programs stumble over."""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np

SIZES = (0, 1, 2, 3, 7, 8, 16, 64, 255, 1000, 2**16, 10**6, 2**25, 2**31 - 1, -1, -2, -(2**31))
NUMBERS = (2**31 - 1, -(2**31), 2**32, 2**53 + 1, 2**63 - 1, -(2**63))
REALS = (0.0, -0.0, 1.0, -1.0, 1e-45, 1e-38, 1e-9, 1e9, 3e38, -3e38, float("inf"), float("-inf"), float("nan"))
TEXTS: tuple[bytes | None, ...] = (
    None,
    b"",
    b"a",
    b"\xff\xfe\x80",  # no UTF-8
    b"\xed\xa0\x80",  # half of a surrogate pair
    b"\x1b[31mred\x1b[0m\x07",  # what a terminal obeys
    b"two\nlines\r\x00and a zero",
    "\u202eright to left \U0001f600".encode(),
    b"%s %d {0} {x!r} ${y} `z` 'q' \"r\"",
    b"../../name",
    b"n" * 70_000,
    b"serving_default",
    b"tfmpq",
    b"TFLITE_METADATA",
    b"min_runtime_version",
)


def integer_for(rng: random.Random, pool: Sequence[int]) -> int:
    """One of the values, or one of them and a little."""
    value = rng.choice(pool)
    return value if rng.random() < 0.8 else max(-(2**31), min(value + rng.randint(-3, 3), 2**31 - 1))


def any_bytes(rng: random.Random, count: int) -> np.ndarray:
    """``count`` random bytes."""
    return np.frombuffer(rng.randbytes(count), np.uint8)
