from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import numpy as np

from tfmpq.plan.layer_plan import LayerPlan, Plan
from tfmpq.recipe.rules import GIVEN, LayerSettings, Recipe, Rule
from tfmpq.report.layer_report import STOCK, LayerReport
from tfmpq.report.settled_recipe import settled_recipe


def test_a_rule_for_every_layer_that_was_decided_on():
    counts = np.array([1, 2])
    plan = Plan(
        {
            "block.1": LayerPlan(LayerSettings(4, 2, "radix", "split"), counts),
            "block.2": LayerPlan(LayerSettings(3, 4, "greedy", "parallel"), counts),
            "given": LayerPlan(LayerSettings(4, 2, GIVEN, "fused"), counts),
        }
    )
    names = ("block.1", "block.2", "given", "head")
    layers = [SimpleNamespace(name=name, lowering=STOCK if name == "head" else "split") for name in names]
    asked = {"block.1": "auto", "block.2": "parallel", "given": "auto"}
    recipe = settled_recipe(plan, cast(list[LayerReport], layers), asked=asked.__getitem__)
    assert recipe == Recipe(
        [
            Rule(r"^block\.1$", bits=4, max_points=2, algorithm="radix"),
            Rule(r"^block\.2$", bits=3, max_points=4, algorithm="greedy", lowering="parallel"),
            Rule("^head$", keep="int8"),
        ]
    )
    assert Recipe.from_json(recipe.to_json()) == recipe


def test_rules_for_activations_stay():
    given = Recipe([Rule("^block", bits=3), Rule("add", equalize="off", bits=3), Rule("scores", range=(-40.0, 9.0))])
    recipe = settled_recipe(Plan({}), [], asked=lambda _: "auto", given=given)
    assert recipe == Recipe([Rule("add", equalize="off"), Rule("scores", range=(-40.0, 9.0))])
    assert Recipe.from_json(recipe.to_json()) == recipe
