"""Scores below the bound are nothing to a softmax."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from converters.rewriting.masks import Way
from converters.tflite.graph import BuiltinOperator, Op, Tensor, TensorType
from tfmpq.activations.masks.scores import FLOAT, INT8, Scores, lowest_top, softmax


def way(width: int, added: Tensor | None = None, factor: float = 1.0) -> Way:
    scores = Tensor("scores", (4, width), TensorType.FLOAT32)
    op = Op(BuiltinOperator.SOFTMAX, [scores], [Tensor("out", (4, width), TensorType.FLOAT32)])
    return Way(op, factor, () if added is None else ((added, factor),))


@settings(max_examples=60)
@given(
    st.integers(1, 200),
    st.floats(0.1, 30),
    st.floats(-50, 50),
    st.floats(0.1, 0.9),
    st.sampled_from([FLOAT, INT8]),
    st.integers(0, 2**31),
)
def test_what_is_masked_by_the_bound_vanishes(
    width: int, spread: float, mean: float, share: float, precision: float, seed: int
):
    rng = np.random.default_rng(seed)
    scores = rng.normal(mean, spread, (4, width))
    masked = rng.uniform(size=(4, width)) < share
    masked[:, rng.integers(width)] = False
    never = np.where(masked, -np.inf, scores)
    path = way(width)
    bound = Scores({}, {}, {path.softmax.input(0): float(never.max(-1).min())}).bound(path, precision)
    wrong = np.abs(softmax(np.where(masked, bound, scores)) - softmax(never))
    assert wrong.sum(-1).max() < precision / 10  # e^4 below what counts, twice: where it is, and in the sum


def test_what_is_added_on_the_way_is_allowed_for():
    computed = Tensor("computed", (4, 8), TensorType.FLOAT32)
    constant = Tensor("constant", (2,), TensorType.FLOAT32, np.array([-4, 1], np.float32).tobytes())
    for added in (computed, constant):
        path = way(8, added, factor=-2.0)
        tops = {path.softmax.input(0): 3.0}
        with_sum = Scores({computed: (-4.0, 1.0)}, {}, tops).bound(path, INT8)
        alone = Scores({}, {}, tops).bound(Way(path.softmax, -2.0), INT8)
        assert alone - with_sum == pytest.approx(8)  # -2 times -4 makes masked scores so much larger


def test_rows_that_are_masked_as_a_whole_tell_nothing():
    assert lowest_top(np.array([3.0, -2.0, -1e9]), -1e9) == -2
    assert lowest_top(np.array([3.0, -300.0, -2e4]), -2e4) == -300
    assert lowest_top(np.array([-1e9]), -1e9) is None
    assert lowest_top(np.array([-9.0, -2.0]), -10.0) == -9  # no masks at all
