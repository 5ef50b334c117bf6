"""The recipe that says of every layer what was decided for it."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from converters.lowering.forms import lowerings
from tfmpq.plan.layer_plan import Plan
from tfmpq.recipe.rules import GIVEN, Recipe, Rule
from tfmpq.report.layer_report import STOCK, LayerReport


def settled_recipe(
    plan: Plan, layers: Sequence[LayerReport], *, asked: Callable[[str], str], given: Recipe | None = None
) -> Recipe:
    """One rule a layer: bits, most points and algorithm, or that it stays as stock has it.

    With the same options and data it leads to the same weights. So a rule has a lowering only where one was asked for:
    what ``auto`` chose depends on all layers together, and as a rule it would not be weighed against predicted time.
    Layers whose points were given have no rule: their points decide.

    Args:
        plan: what was decided.
        layers: all layers, in graph order.
        asked: layer name -> the lowering it was asked for.
        given: the recipe of the conversion; what it says of activations stays, by its own patterns.
    """
    known = () if given is None else given.rules
    rules = [Rule(rule.match, **rule.activation_settings()) for rule in known if rule.activation_settings()]
    for layer in layers:
        match = f"^{re.escape(layer.name)}$"
        planned = plan.layers.get(layer.name)
        if planned is None:
            if layer.lowering == STOCK:
                rules.append(Rule(match, keep="int8"))
        elif planned.settings.algorithm != GIVEN:
            chosen = planned.settings
            free = asked(layer.name) == "auto" or chosen.lowering not in lowerings()  # tables have forms of their own
            lowering = None if free else chosen.lowering
            rules.append(Rule(match, chosen.bits, chosen.max_points, chosen.algorithm, lowering))
    return Recipe(rules)
