"""A parameter common to all layers is the one that costs the network least."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tfmpq
from tests.support.pipeline import residual
from tfmpq.algorithms import ALGORITHMS, Algorithm, Candidate, Problem
from tfmpq.plan.parameters import choose_parameters, least_cost
from tfmpq.recipe.rules import LayerSettings


def test_between_the_values_where_a_parabola_is_least():
    tried = []

    def cost(value: float) -> float:
        tried.append(value)
        return (value - 2.8) ** 2 + 1

    assert least_cost(cost, (2.0, 3.0, 4.0)) == pytest.approx(2.8)
    assert len(tried) == 4  # and the parabola's own is tried before it is taken


def test_the_best_of_the_values_where_there_is_no_such_place():
    assert least_cost(lambda value: -((value - 3) ** 2), (2.0, 3.0, 4.5)) == 4.5  # a hill
    costs = {2.0: 1.0, 3.0: 0.0, 4.0: 5.0}
    assert least_cost(lambda value: costs.get(value, 9.0), (2.0, 3.0, 4.0)) == 3.0  # it promises more than it holds


@pytest.fixture
def scaling(monkeypatch: pytest.MonkeyPatch) -> Any:
    """An algorithm that shrinks its rows by its parameter: 1 is right."""

    def quantize(problem: Problem, most: int) -> list[Candidate]:
        found = ALGORITHMS["nearest"].quantize(problem, most)
        factor = np.float32(problem.evidence.parameter or 1.0)
        return [Candidate(c.codes, c.scales * factor, c.error) for c in found]

    algorithm = Algorithm(quantize, corrects_bias=False, parameters=(0.5, 0.8, 1.0, 1.5))
    monkeypatch.setitem(ALGORITHMS, "scaling", algorithm)


def test_the_networks_loss_decides(scaling: None):
    converted = residual()
    settings = LayerSettings(8, 1, "scaling", "fused")
    layers = [converted.measured(name, settings) for name in ("conv", "project")]
    found, notes = choose_parameters(layers, {}, converted.network, lambda: iter(converted.samples))
    values = {evidence.parameter for evidence in found.values()}
    assert len(found) == 2
    assert len(values) == 1
    assert values.pop() == pytest.approx(1.0, abs=0.1)
    assert len(notes) == 1
    assert notes[0].startswith("algorithm 'scaling': of its parameter, ")


def test_nothing_is_run_for_algorithms_without_one(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("tfmpq.plan.parameters.NetworkLoss", lambda *_: pytest.fail("nobody asked"))
    converted = residual()
    layers = [converted.measured("conv", LayerSettings(4, 1, "radix", "fused"))]
    assert choose_parameters(layers, {}, converted.network, lambda: iter(converted.samples)) == ({}, ())


def test_a_conversion_tells_what_was_chosen():
    converted = residual()
    data = np.concatenate([feed["image"] for feed in converted.samples])
    result = tfmpq.convert(converted.model.flatbuffer, data, algorithm="lapq", sensitivity="energy", progress=False)
    assert any("algorithm 'lapq': of its parameter" in note for note in result.report.notes)
