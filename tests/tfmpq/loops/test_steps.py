"""States of a loop at some of its steps."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from converters.errors import ModelError
from converters.frontend.load import load_model
from converters.frontend.loop_bodies import find_loops
from converters.tflite.reader import load
from tests.support.loops import STEPS, loop_net, samples
from tfmpq.loops import steps as module
from tfmpq.loops.steps import Steps, loop_steps

FLOAT = load_model(loop_net("gru"))
MODEL = load(FLOAT.flatbuffer)
LOOP = find_loops(MODEL, "x")[0][0]


def data(arrays: list[np.ndarray]):
    def read() -> Iterator[dict[str, np.ndarray]]:
        return iter([{"x": array} for array in arrays])

    return read


def steps(arrays: list[np.ndarray]) -> Steps:
    return loop_steps(MODEL, LOOP, data(arrays), len(arrays), seed=0)


def test_all_steps_of_few_samples():
    found = steps(samples(16))
    assert found.a_sample == STEPS
    assert len(found.states) == 16 * STEPS
    assert sorted(int(state["state_1"]) for state in found.states) == sorted(list(range(STEPS)) * 16)


def test_every_eighth_is_of_other_samples():
    """What is held out is of samples that nothing is fitted to."""
    arrays = samples(40)
    found = steps(arrays)
    of = [next(i for i, a in enumerate(arrays) if np.array_equal(a[0], s["state_4"][:, 0])) for s in found.states]
    for place in range(8):
        assert {i % 8 for i in of[place::8]} == {place}
    assert len(set(of[:40])) == 40  # samples before steps: the first are of all


def test_some_steps_of_many(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "_STEPS", 96)
    found = steps(samples(32))
    assert len(found.states) == 96  # 3 of each
    taken = np.bincount([int(state["state_1"]) for state in found.states], minlength=STEPS)
    assert (taken > 0).all()  # 96 draws of 8: one is missed with a chance of 2e-5, and the seed is fixed


def test_long_loops_are_run_on_fewer_samples(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "_MOST_WALKED", 34 * STEPS)
    assert len(steps(samples(48)).states) == (34 // 8) * 8 * STEPS


def test_samples_of_other_sizes_are_left_out():
    with pytest.raises(ModelError, match="no step"):
        loop_steps(MODEL, LOOP, data([]), 1, seed=0)
