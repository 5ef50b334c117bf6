"""Forms of layers, what the tables say they cost, and the choice among them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from converters.errors import BudgetError
from converters.targets import Target, load_target, predict
from converters.tflite.reader import load
from tests.support.pipeline import QUIET, Converted, residual
from tfmpq.emit.write import emit
from tfmpq.measure.sensitivity import channel_gains
from tfmpq.plan.choice import (
    Chooser,
    base_bytes,
    candidate_forms,
    epsilon_points,
    knapsack,
)
from tfmpq.plan.lowering_cost import lowering_costs
from tfmpq.plan.weighing import orders_rows
from tfmpq.recipe.rules import LayerSettings
from tfmpq.stages import Planned, Weighed

TARGET = load_target("xnnpack")
MOVABLE = ("stem", "project", "conv", "expand", "dw")
LOW = LayerSettings(4, 2, "radix", "auto")


def chooser(converted: Converted, settings: LayerSettings = LOW, **changes: Any) -> Chooser:
    """All layers at 4 bits, gains falling from row to row."""
    gains = {name: np.linspace(1.0, 0.1, layer.channels)[:, None] for name, layer in converted.layers.items()}
    orders = orders_of(converted)
    layers = [converted.weighed(name, settings, gains[name], orders.get(name)) for name in converted.layers]
    return Chooser(
        **{"layers": layers, "target": TARGET, "stock": converted.int8_graph, "base": converted.int8_graph, **changes}
    )


def orders_of(converted: Converted) -> dict[str, np.ndarray]:
    return converted.orders(MOVABLE, {n: np.linspace(1.0, 0.1, converted.layers[n].channels) for n in MOVABLE})


def forms_of(name: str, **changes: Any) -> list[str]:
    settings = replace(LOW, **changes)
    return [form.name for form in candidate_forms(residual().rounded(name, settings))]


def test_forms_of_layers():
    assert forms_of("expand") == forms_of("classifier") == ["split", "fused"]
    assert forms_of("expand", bits=8, max_points=1) == ["fused"]
    for lowering in ("split", "fused", "parallel", "compact"):
        assert forms_of("expand", lowering=lowering) == [lowering]
    for name in ("conv", "dw"):
        assert forms_of(name) == forms_of(name, lowering="split") == ["fused"]
        assert forms_of(name, algorithm="greedy") == ["parallel"]
        assert forms_of(name, algorithm="greedy", lowering="compact") == ["compact"]
    rounded = residual().rounded
    assert orders_rows(rounded("expand", LOW))
    assert not orders_rows(rounded("expand", replace(LOW, max_points=1)))
    assert not orders_rows(rounded("conv", LOW))  # merged rows stay where they are
    assert orders_rows(rounded("conv", replace(LOW, algorithm="greedy")))


def test_time_decides_between_forms():
    converted = residual()
    free = chooser(converted, max_ratio=10.0).chooser()(60.0)
    tight = chooser(converted, max_ratio=1.0).chooser()(60.0)
    times = [ratio(converted, plan) for plan in (free, tight)]
    assert times[1] <= 1.0 < times[0] <= 10.0
    free, tight = ({p.name: p for p in plan} for plan in (free, tight))
    assert free["expand"].lowering == "split"
    assert {p.lowering for n, p in free.items() if n in ("stem", "conv", "dw")} == {"fused"}
    # Rows that are int8 for speed have all their points, which are no bytes of the budget.
    counted = [
        {n: p for n, p in plan.items() if p.lowering == "split" or n in ("stem", "conv", "dw")}
        for plan in (free, tight)
    ]
    width = {n: layer.weight.shape[1] for n, layer in converted.layers.items()}
    spent = [sum((p.counts - 1).sum() * (width[n] / 2 + 4) for n, p in plans.items()) for plans in counted]
    assert max(spent) <= 60.0
    # Members of a residual sum take prefixes of one order.
    counts = free["project"].counts[orders_of(converted)["project"]]
    assert (np.diff(counts) <= 0).all()


def written(converted: Converted, plan: list[Planned], lowering: str = "") -> bytes:
    """The very file of a plan, or of its points in another lowering."""
    changed = [replace(layer, lowering=lowering) if lowering else layer for layer in plan]
    return emit(
        converted.network, changed, storage="auto", samples=lambda: iter(converted.samples), count=1,
        metadata={"version": "test"}, progress=QUIET,
    ).content  # fmt: skip


def ratio(converted: Converted, plan: list[Planned]) -> float:
    """Predicted from the very file."""
    graph = load(written(converted, plan)).graph
    return predict(graph, TARGET) / predict(converted.int8_graph, TARGET)


def test_predicted_plans_cost_what_their_files_cost():
    converted = residual()
    whole = chooser(converted, max_ratio=10.0)
    for budget in (0.0, 60.0, 200.0):
        plan = whole.chooser()(budget)
        file = written(converted, plan)
        found = lowering_costs(plan, target=TARGET, stock=converted.int8_graph, size=len(file), graph=load(file).graph)
        costs = {c.lowering: c for c in found}
        assert costs["as written"].bytes == len(file)
        for lowering in ("fused", "split"):
            content = written(converted, plan, lowering)
            real = predict(load(content).graph, TARGET) / predict(converted.int8_graph, TARGET)
            assert costs[lowering].latency_ratio == pytest.approx(real, rel=1e-6)
            # Names, tables and padding of the operators that differ (at most six) are estimated.
            assert abs(costs[lowering].bytes - len(content)) < 1000


def test_unreachable_latency_is_said():
    message = r"max_latency_ratio=0\.1: with these .* the fastest file is predicted to take \d.* target 'xnnpack'"
    with pytest.raises(BudgetError, match=message):
        chooser(residual(), max_ratio=0.1).chooser()(0.0)
    slow = replace(LOW, lowering="split")
    chooser(residual(), slow).chooser()(100.0)  # without a limit of its own the default is kept as far as it can be


def test_given_counts_only_choose_forms():
    converted = residual()
    counts = {n: 1 + (np.arange(layer.channels) < 4) for n, layer in converted.layers.items()}

    def lowering_of_expand(**changes: Any) -> str:
        chosen = {p.name: p for p in chooser(converted, **changes).forms(counts)}
        for name, layer in chosen.items():
            # Rows that are int8 in the file all the same have all their points.
            int8 = layer.settings.lowering == "auto" and layer.lowering == "fused" and len(layer.candidates) > 1
            np.testing.assert_array_equal(layer.counts, np.full_like(counts[name], 2) if int8 else counts[name])
        return chosen["expand"].lowering

    assert lowering_of_expand(max_ratio=10.0) == "split"
    assert lowering_of_expand(max_ratio=1.0) == "fused"
    assert lowering_of_expand(int4=False) == "fused"


def test_targets_without_int4_split_nothing():
    rows = tuple(row for row in TARGET.rows if row.weights != "INT4")
    old = Target("old", TARGET.kernels, rows, TARGET.limits)
    plan = chooser(residual(), target=old, max_ratio=10.0).chooser()(60.0)
    assert {p.lowering for p in plan} == {"fused"}


# ---------------------------------------------------------------- points where forms are settled


def small(order: np.ndarray | None = None) -> list[Weighed]:
    """Two layers with made-up errors for one, two and three points."""
    converted = residual()
    errors = {"project": [np.linspace(8, 23, 16), np.full(16, 4.0), np.full(16, 1.0)], "classifier": [np.ones(10)]}
    chosen = {
        "project": LayerSettings(4, 3, "radix", "parallel"),
        "classifier": LayerSettings(8, 1, "radix", "parallel"),
    }
    result = []
    for name, cost in (("project", 2.0), ("classifier", 1.0)):
        gains = channel_gains(np.stack(errors[name]), cost, None)
        known = converted.rounded(name, chosen[name]).candidates
        made = tuple(replace(c, error=e) for c, e in zip(known, errors[name], strict=True))
        found = order if name == "project" else None
        result.append(converted.weighed(name, chosen[name], gains, found, cost=cost, candidates=made))
    return result


def test_bytes():
    project, classifier = small()
    assert project.row_bytes == 24 * 4 / 8 + 4
    assert classifier.row_bytes == 16 + 4
    assert base_bytes([project, classifier]) == 16 * 16  # layers of 8 bits do not count


def test_knapsack_plans_within_the_budget():
    project, classifier = knapsack(small())(5 * 16.0)
    assert project.counts.tolist() == [1] * 11 + [2] * 5  # the rows with the largest error
    assert (project.lowering, project.settings.lowering) == ("parallel", "parallel")
    assert classifier.counts.tolist() == [1] * 10
    order = np.roll(np.arange(16), 4)
    prefix = knapsack(small(order))(5 * 16.0)[0].counts
    assert prefix[order].tolist() == [2] * 5 + [1] * 11


def test_remaining_costs():
    layers = small()
    choose = knapsack(layers)
    none, everything = ([layer.remaining_cost(layer.counts) for layer in choose(b)] for b in (0.0, 1e9))
    assert none == [2.0, 1.0]
    # What is left is in proportion to the errors that are left.
    total = layers[0].errors[0].sum()
    assert everything == [pytest.approx(2.0 * 16 * 1.0 / total), 1.0]


def test_epsilon():
    energy = np.linspace(1.0, 4.0, 16)

    def counts(value: float, order: np.ndarray | None = None) -> list[int]:
        # Errors as multiples of each row's energy: 0.8 to 2.3 times with one point, 0.4 with two, 0.1 with three.
        project, classifier = small(order)
        relative = tuple(replace(c, error=c.error / 10 * energy) for c in project.candidates)
        layers = [replace(project, candidates=relative), classifier]
        found = epsilon_points(layers, lambda layer: energy if layer.name == "project" else np.ones(10), value)
        return found["project"].tolist()

    assert counts(1.05) == [1] * 3 + [2] * 13  # 0.8, 0.9, 1.0 are small enough
    assert counts(0.2) == [3] * 16
    assert counts(0.01) == [3] * 16  # there are no more
    # In a shared order every row up to the last that needs a point has it.
    assert counts(1.05, np.array([0, 5, 1, 4, 3, 2, *range(6, 16)])) == [2] * 16
    assert counts(1.05, np.array([*range(3, 16), 0, 1, 2])) == [1] * 3 + [2] * 13
