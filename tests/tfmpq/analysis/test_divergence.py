"""Divergence of class probabilities, whatever form they come in."""

from __future__ import annotations

import numpy as np
import pytest

from tfmpq.analysis.divergence import Divergences, divergence


def softmax(scores: np.ndarray) -> np.ndarray:
    powers = np.exp(scores - scores.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)


def int8(probabilities: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(probabilities * 256), 0, 255) / 256


RNG = np.random.default_rng(0)


@pytest.mark.parametrize("classes", [2, 10, 60, 1000])
def test_int8_probabilities_are_not_taken_for_scores(classes):
    ours, theirs = (softmax(RNG.normal(0, 2, (200, classes))) for _ in range(2))
    exact = divergence(theirs, ours)
    found = divergence(int8(theirs), int8(ours))
    assert exact > 1
    # Of a thousand classes most are less than half a step, and rounded away. A second softmax leaves 1 % of it at most.
    assert found > (0.4 if classes == 1000 else 0.8) * exact


@pytest.mark.parametrize(
    "outputs",
    [
        softmax(RNG.normal(0, 3, (50, 60))),
        int8(softmax(RNG.normal(0, 3, (50, 60)))),
        int8(softmax(RNG.normal(0, 0.1, (50, 1000)))),  # not one of the shares is left
        int8(RNG.random((50, 7))),
        RNG.normal(0, 3, (50, 7)),
    ],
    ids=["float", "int8", "int8, flat", "yes or no", "scores"],
)
def test_nothing_diverges_from_itself(outputs):
    assert divergence(outputs, outputs) == pytest.approx(0, abs=1e-12)


def test_yes_and_no_are_summed_over_the_classes():
    p, q = np.array([[0.9, 0.8, 0.1]]), np.array([[0.6, 0.8, 0.3]])
    expected = (p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q))).sum()
    assert divergence(p, q) == pytest.approx(expected)


def test_what_outputs_are_is_seen_from_all_of_them():
    scores, others = (np.array([[a, 1.0 - a], [3.0, -1.0]]) for a in (0.4, 0.7))
    one_at_a_time = Divergences()
    for row in range(2):
        one_at_a_time.add(scores[row : row + 1], others[row : row + 1])
    p, q = softmax(scores), softmax(others)
    np.testing.assert_allclose(one_at_a_time.values(), (p * np.log(p / q)).sum(1), atol=1e-12)
