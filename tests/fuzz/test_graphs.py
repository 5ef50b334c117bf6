"""Random networks: a few here, some hundred at night (``make fuzz-graphs``)."""

from __future__ import annotations

import os

import pytest

from tests.fuzz.checks import check

COUNT = int(os.environ.get("GRAPHS", "8"))


@pytest.mark.parametrize("seed", range(COUNT))
def test_a_random_network(seed: int):
    assert check(seed) is None
