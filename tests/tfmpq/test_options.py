"""Options out of range are refused before any work."""

from __future__ import annotations

from typing import Any

import pytest

import tfmpq
from converters.errors import OptionError
from tfmpq.options import check_finish, check_preparation

GOOD: dict[str, Any] = {
    "bits": 4, "lowering": "auto", "algorithm": "radix", "max_points": None, "sensitivity": "auto", "recipe": None,
    "io_dtype": "int8", "batch_size": 1, "seed": 0,
}  # fmt: skip


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"bits": 1}, "bits=1 is out of range; give a whole number from 2 to 8"),
        ({"bits": True}, "bits=True is out of range"),
        ({"max_points": 5}, "max_points=5 is out of range; give a whole number from 1 to 4"),
        ({"batch_size": 2}, "batch_size=2 is out of range"),
        ({"seed": -1}, "seed=-1 is out of range"),
        ({"lowering": "merged"}, "lowering='merged' is not known; choose one of 'auto', 'split', 'fused', 'parallel'"),
        ({"algorithm": "magic"}, "algorithm='magic' is not known; choose one of 'radix'"),
        ({"sensitivity": "none"}, "sensitivity='none' is not known"),
        ({"io_dtype": "int16"}, "io_dtype='int16' is not known"),
        ({"recipe": {"rules": []}}, "is no Recipe"),
    ],
)
def test_preparation(change: dict[str, Any], text: str):
    check_preparation(GOOD)
    with pytest.raises(OptionError, match=text):
        check_preparation({**GOOD, **change})


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"weights": "int2"}, "weights='int2' is not known; choose one of 'auto'"),
        ({"budget": 0.1}, r"budget=0.1 is no budget; give ExtraBits\(fraction\)"),
        *(
            ({"max_latency_ratio": value}, "out of range; give the most latency you accept relative to stock int8")
            for value in (0, -1.0, float("nan"), float("inf"), "1.02", True)
        ),
    ],
)
def test_finish(change: dict[str, Any], text: str):
    good: dict[str, Any] = {"budget": tfmpq.ExtraBits(0.1), "weights": "auto", "max_latency_ratio": None}
    check_finish(**good)
    check_finish(**{**good, "max_latency_ratio": 1})
    with pytest.raises(OptionError, match=text):
        check_finish(**{**good, **change})
