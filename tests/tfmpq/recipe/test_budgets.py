from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from converters.errors import OptionError
from tfmpq.recipe.budgets import Epsilon, ExtraBits, LikeStock, MaxBytes, MaxDrop


@pytest.mark.parametrize(
    ("kind", "field", "values"),
    [
        (LikeStock, "margin", [None, 0, 0.5, np.float32(2.0), 100]),
        (ExtraBits, "fraction", [0, 0.1, np.float32(0.1), 3.0]),
        (MaxBytes, "bytes", [1, np.int64(10**6), 2**31]),
        (Epsilon, "value", [0.0, 1e-3, 1]),
        (lambda v: MaxDrop(v, len), "points", [0, 0.5, 100.0]),
    ],
)
def test_values_in_range(kind: Callable[[Any], object], field: str, values: list):
    assert [getattr(kind(value), field) for value in values] == values


@pytest.mark.parametrize(
    ("kind", "value", "message"),
    [
        (LikeStock, -1, r"LikeStock: -1 is out of range; give a margin in percentage points between 0 and 100\."),
        (LikeStock, "2", "LikeStock: '2' is out of range"),
        (ExtraBits, -0.01, r"ExtraBits: -0\.01 is out of range; give a fraction between 0 and 3\."),
        (ExtraBits, 10, "ExtraBits: 10 is out of range"),  # per cent by mistake
        (ExtraBits, float("nan"), "ExtraBits: nan is out of range"),
        (ExtraBits, "0.1", r"ExtraBits: '0\.1' is out of range"),
        (ExtraBits, True, "ExtraBits: True is out of range"),
        (ExtraBits, None, "ExtraBits: None is out of range"),
        (MaxBytes, 0, "MaxBytes: 0 is out of range; give a number of bytes between 1 and"),
        (MaxBytes, 2**31 + 1, "MaxBytes: 2147483649 is out of range"),
        (Epsilon, 1.5, r"Epsilon: 1\.5 is out of range; give a relative output error between 0 and 1\."),
        (Epsilon, -1e-9, "Epsilon: -1e-09 is out of range"),
        (lambda v: MaxDrop(v, len), -1, "MaxDrop: -1 is out of range; give a score difference between 0 and 100"),
        (lambda v: MaxDrop(v, len), float("inf"), "MaxDrop: inf is out of range"),
        (lambda v: MaxDrop(1.0, v), 0.7, "MaxDrop: evaluate must be a function that takes .tflite bytes"),
    ],
)
def test_values_out_of_range(kind: Callable[[Any], object], value: object, message: str):
    with pytest.raises(OptionError, match=message):
        kind(value)
