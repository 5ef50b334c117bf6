from __future__ import annotations

import math

import pytest

from tfmpq.activations.values.sqnr import sqnr_db


@pytest.mark.parametrize(
    ("signal", "noise", "expected"),
    [
        (100.0, 1.0, 20.0),
        (1.0, 0.0, math.inf),
        (0.0, 0.0, math.inf),
        (0.0, 1.0, -math.inf),
        (1.0, math.inf, -math.inf),
        (1.0, math.nan, -math.inf),
        (1e-300, 1e300, -math.inf),
    ],
)
def test_sqnr(signal, noise, expected):
    assert sqnr_db(signal, noise) == expected
