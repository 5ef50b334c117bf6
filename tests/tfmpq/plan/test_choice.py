"""Forms of layers, what the tables say they cost, and the choice among them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from converters.errors import BudgetError
from converters.layers.permutation import channel_groups
from converters.targets import Target, load_target, predict
from converters.tflite.reader import load
from tests.support.pipeline import Converted, residual
from tfmpq.emit.write import channel_freedom
from tfmpq.plan.choice import Chooser, form_cost, forms_of, lowering_costs, orders_rows, segments_of
from tfmpq.plan.layer_plan import LayerPlan, Plan
from tfmpq.recipe.rules import LayerSettings

TARGET = load_target("xnnpack")
MOVABLE = ("stem", "project", "conv", "expand", "dw")
LOW = LayerSettings(4, 2, "radix", "auto")


def chooser(converted: Converted, settings: LayerSettings = LOW, **changes: Any) -> Chooser:
    """All layers at 4 bits, gains falling from row to row."""
    layers = list(converted.layers.values())
    gains = {layer.name: np.linspace(1.0, 0.1, layer.channels)[:, None] for layer in layers}
    freedom = channel_freedom(channel_groups(converted.int8_graph), layers)
    values: dict[str, Any] = {
        "layers": layers,
        "settings": {layer.name: settings for layer in layers},
        "gains": gains,
        "orders": converted.orders(MOVABLE, {n: gains[n][:, 0] for n in MOVABLE}),
        "freedom": freedom,
        "mergeable": {layer.name: True for layer in layers},
        "target": TARGET,
        "stock": converted.int8_graph,
    }
    return Chooser(**{**values, **changes})


def test_forms_of_layers():
    layers = residual().layers
    pointwise, spatial, depthwise = layers["expand"], layers["conv"], layers["dw"]
    assert forms_of(pointwise, LOW, mergeable=True) == ("split", "fused")
    assert forms_of(layers["classifier"], LOW, mergeable=True) == ("split", "fused")
    assert forms_of(pointwise, replace(LOW, bits=8), mergeable=True) == ("fused",)
    assert forms_of(pointwise, replace(LOW, lowering="split"), mergeable=True) == ("split",)
    assert forms_of(pointwise, replace(LOW, lowering="fused"), mergeable=True) == ("fused",)
    for layer in (spatial, depthwise):
        assert forms_of(layer, LOW, mergeable=True) == ("fused",)
        assert forms_of(layer, LOW, mergeable=False) == ("parallel",)
    assert orders_rows(pointwise, LOW, mergeable=True)
    assert not orders_rows(pointwise, replace(LOW, max_points=1), mergeable=True)
    assert not orders_rows(spatial, LOW, mergeable=True)  # merged rows stay where they are
    assert orders_rows(spatial, LOW, mergeable=False)


def test_costs_of_forms():
    layer = residual().layers["expand"]  # 16 -> 24

    def cost(form: str, two: int, *, gather: bool = False) -> Any:
        segments = [(2, two), (1, 24 - two)] if 0 < two < 24 else [(1 + (two == 24), 24)]
        return form_cost(layer, form, segments, 4, TARGET, gather=gather)

    fused = cost("fused", 0)
    assert fused == cost("fused", 12) == cost("split", 24) == cost("split", 23)  # int8 rows only
    assert fused.microseconds == TARGET.microseconds(work(layer))
    assert cost("split", 0).bytes == fused.bytes - 24 * 8  # half a byte a weight less
    sizes = [cost("split", n).bytes for n in range(1, 23)]
    assert np.diff(sizes).tolist() == [8.0] * 21
    assert cost("split", 1).microseconds > cost("split", 0).microseconds + 0.1  # a CONCATENATION
    assert cost("parallel", 12).microseconds > cost("split", 12).microseconds > fused.microseconds
    assert cost("split", 12, gather=True).microseconds > cost("split", 12).microseconds
    assert segments_of(np.array([1, 2, 1, 3, 1])) == [(3, 1), (2, 1), (1, 3)]


def work(layer) -> Any:
    from converters.targets import work_of

    return work_of(layer.uses[0].int8_op)


def test_time_decides_between_forms():
    converted = residual()
    free = chooser(converted, max_ratio=10.0).within()(60.0)
    tight = chooser(converted, max_ratio=1.0).within()(60.0)
    times = [ratio(converted, plan) for plan in (free, tight)]
    assert times[1] <= 1.0 < times[0] <= 10.0
    assert free.layers["expand"].settings.lowering == "split"
    assert {p.settings.lowering for n, p in free.layers.items() if n in ("stem", "conv", "dw")} == {"fused"}
    # Rows that are int8 for speed have all their points, which are no bytes of the budget.
    counted = [
        {n: p for n, p in plan.layers.items() if p.settings.lowering == "split" or n in ("stem", "conv", "dw")}
        for plan in (free, tight)
    ]
    width = {n: layer.weight.shape[1] for n, layer in converted.layers.items()}
    spent = [sum((p.counts - 1).sum() * (width[n] / 2 + 4) for n, p in plans.items()) for plans in counted]
    assert max(spent) <= 60.0
    # Members of a residual sum take prefixes of one order.
    order = chooser(converted).orders["project"]
    counts = free.layers["project"].counts[order]
    assert (np.diff(counts) <= 0).all()


def ratio(converted: Converted, plan: Plan) -> float:
    """Predicted from the very file."""
    rows = {n: converted.rows(n, p.settings, p.counts) for n, p in plan.layers.items()}
    forms = {n: p.settings.lowering for n, p in plan.layers.items()}
    content = converted.emit(rows, forms, orders=chooser(converted).orders).content
    return predict(load(content).graph, TARGET) / predict(converted.int8_graph, TARGET)


def test_predicted_plans_cost_what_their_files_cost():
    converted = residual()
    whole = chooser(converted, max_ratio=10.0)
    for budget in (0.0, 60.0, 200.0):
        plan = whole.within()(budget)
        rows = {n: converted.rows(n, p.settings, p.counts) for n, p in plan.layers.items()}
        forms = {n: p.settings.lowering for n, p in plan.layers.items()}
        written = converted.emit(rows, forms, orders=whole.orders).content
        costs = {c.lowering: c for c in lowering_costs(whole, plan, written)}
        assert costs["as written"].bytes == len(written)
        for lowering in ("fused", "split"):
            content = converted.emit(rows, lowering, orders=whole.orders).content
            real = predict(load(content).graph, TARGET) / predict(converted.int8_graph, TARGET)
            assert costs[lowering].latency_ratio == pytest.approx(real, rel=1e-6)
            # Names, tables and padding of the operators that differ (at most six) are estimated.
            assert abs(costs[lowering].bytes - len(content)) < 1000


def test_unreachable_latency_is_said():
    message = r"max_latency_ratio=0\.1: with these .* the fastest file is predicted to take \d.* target 'xnnpack'"
    with pytest.raises(BudgetError, match=message):
        chooser(residual(), max_ratio=0.1).within()(0.0)
    slow = replace(LOW, lowering="split")
    chooser(residual(), slow).within()(100.0)  # without a limit of its own the default is kept as far as it can be


def test_given_counts_only_choose_forms():
    converted = residual()
    counts = {n: 1 + (np.arange(layer.channels) < 4) for n, layer in converted.layers.items()}
    plan = Plan({n: LayerPlan(LOW, c) for n, c in counts.items()})
    chosen = chooser(converted, max_ratio=10.0).forms(plan)
    for name, layer in chosen.layers.items():
        np.testing.assert_array_equal(layer.counts, counts[name])
    assert chosen.layers["expand"].settings.lowering == "split"
    assert chooser(converted, max_ratio=1.0).forms(plan).layers["expand"].settings.lowering == "fused"
    assert chooser(converted, int4=False).forms(plan).layers["expand"].settings.lowering == "fused"


def test_targets_without_int4_split_nothing():
    rows = tuple(row for row in TARGET.rows if row.weights != "INT4")
    old = Target("old", TARGET.kernels, rows, TARGET.limits)
    plan = chooser(residual(), target=old, max_ratio=10.0).within()(60.0)
    assert {p.settings.lowering for p in plan.layers.values()} == {"fused"}
