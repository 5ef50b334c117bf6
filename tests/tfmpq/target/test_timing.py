"""Times of operators: which run counts, and how cold weights are."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from tfmpq.target.models import layer
from tfmpq.target.operators import plain
from tfmpq.target.timing import copies_of, fastest


def test_the_fastest_of_many_runs_counts():
    """Runs of 1 ms and 3 ms on a machine that is busy three quarters of the time."""
    now, rng = 0.0, np.random.default_rng(0)

    def run(seconds: float) -> Callable[[], None]:
        def once() -> None:
            nonlocal now
            now += seconds * rng.choice([1, 2, 5, 9])

        return once

    assert fastest([run(0.001), run(0.003)], 20, lambda: now) == pytest.approx([0.001, 0.003])


def test_weights_are_cold_and_outputs_warm():
    small, large = layer("dense", 0, 64, 64), layer("dense", 0, 2048, 2048)
    assert copies_of(small) > 100
    assert 4e6 < copies_of(large) * 2048 * 2048 < 1.6e7
    assert copies_of(plain("ADD", 112, 96)) == 1
    assert copies_of(layer("conv", 56, 64, 64)) * 56 * 56 * 64 < 2e6
