from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.support.rounding_problems import correlated_moment, heavy_tailed, moment_of, problem_of, reals
from tfmpq.algorithms import Evidence, Problem, adaround
from tfmpq.algorithms.adaround import quantize_adaround
from tfmpq.algorithms.evidence import LayerSamples
from tfmpq.algorithms.lapq import quantize_lapq
from tfmpq.algorithms.radix import quantize_radix


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(adaround, "ITERATIONS", 1000)


def with_samples(rows: int = 8, columns: int = 64, *, low: float = -np.inf, high: float = np.inf) -> Problem:
    """Correlated inputs, as behind a ReLU, and the moment of these very positions."""
    rng = np.random.default_rng(0)
    mixing = rng.normal(size=(columns, columns)) / np.sqrt(columns)
    inputs = np.maximum(rng.normal(0.5, 1.0, (1, 600, columns)) @ mixing + 0.3, 0.0).astype(np.float32)
    weight = rng.normal(size=(1, rows, columns))
    bias = rng.normal(size=rows).astype(np.float32)
    outputs = np.clip(inputs[0] @ weight[0].T + bias, low, high).astype(np.float32)
    samples = LayerSamples(inputs, outputs, bias, low, high)
    problem = problem_of(weight, moment_of(inputs.astype(np.float64)), 4)
    return replace(problem, evidence=Evidence(samples=samples))


def errors(problem: Problem, rows: np.ndarray) -> np.ndarray:
    """(R,) mean squared error of the outputs, behind the activation function."""
    samples = problem.evidence.samples
    assert samples is not None
    got = samples.inputs[0] @ rows[0].T + samples.bias
    return np.square(np.clip(got, samples.low, samples.high) - samples.outputs).mean(axis=0)


def test_never_worse_than_nearest_on_its_samples_and_mostly_better():
    problem = with_samples()
    ours, nearest = (
        errors(problem, reals(f(problem, 1)[0], problem.weight)) for f in (quantize_adaround, quantize_lapq)
    )
    assert (ours <= nearest * (1 + 1e-5)).all()  # sums are float32
    assert ours.sum() < 0.85 * nearest.sum()  # .73; feedback, which moves codes farther, and scales: .52


def test_codes_are_the_two_around_the_weight_and_scales_those_of_least_squares():
    problem = with_samples()
    found, nearest = quantize_adaround(problem, 1)[0], quantize_lapq(problem, 1)[0]
    np.testing.assert_array_equal(found.scales, nearest.scales)
    steps = np.clip(problem.weight[0] / found.scales[0].astype(np.float64)[:, None], -7, 7)
    assert (np.abs(found.codes[0] - steps) < 1).all()
    assert (found.codes != nearest.codes).any()


def test_what_the_activation_function_cuts_off_does_not_count():
    cut = with_samples(low=0.0, high=2.0)
    samples = cut.evidence.samples
    assert samples is not None
    blind = replace(cut, evidence=Evidence(samples=replace(samples, low=-np.inf, high=np.inf)))
    seeing, other = (errors(cut, reals(quantize_adaround(p, 1)[0], cut.weight)).sum() for p in (cut, blind))
    assert seeing < 0.95 * other  # .91


def test_later_points_know_those_before():
    problem = with_samples(low=0.0)
    one, two = (errors(problem, reals(c, problem.weight)).sum() for c in quantize_adaround(problem, 2))
    assert two < 0.05 * one


@pytest.mark.parametrize("blocks", [1, 2])
def test_without_samples_the_moment_stands_for_them(blocks: int):
    """One group with its whole moment, and one whose moment is known in two blocks of columns."""
    rng = np.random.default_rng(1)
    problem = problem_of(rng.normal(size=(1, 8, 64)), correlated_moment(rng, blocks, 64 // blocks), 4)
    found, nearest = quantize_adaround(problem, 1)[0], quantize_lapq(problem, 1)[0]
    assert found.error.sum() < 0.5 * nearest.error.sum()
    # Feedback and descent move codes farther, and scales: a bound of what can be had.
    assert found.error.sum() > 0.5 * quantize_radix(problem, 1)[0].error.sum()


def test_of_a_diagonal_the_nearest_codes_are_the_best():
    rng = np.random.default_rng(2)
    problem = problem_of(heavy_tailed(rng, 2, 3, 8), np.ones((2, 8)), 4)
    np.testing.assert_array_equal(quantize_adaround(problem, 1)[0].codes, quantize_lapq(problem, 1)[0].codes)


def test_every_weight_is_decided_in_the_end(monkeypatch: pytest.MonkeyPatch):
    """Twice the iterations hardly change the error: it has converged."""
    problem = with_samples()
    monkeypatch.setattr(adaround, "ITERATIONS", 2000)
    once = errors(problem, reals(quantize_adaround(problem, 1)[0], problem.weight)).sum()
    monkeypatch.setattr(adaround, "ITERATIONS", 4000)
    twice = errors(problem, reals(quantize_adaround(problem, 1)[0], problem.weight)).sum()
    assert abs(twice / once - 1) < 0.1
