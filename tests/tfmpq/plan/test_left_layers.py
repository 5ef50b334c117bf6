from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import pytest

from converters.errors import RecipeError
from converters.layers.layer import Layer, Skipped
from tfmpq.plan.left_layers import refuse_rules_for_left_layers
from tfmpq.recipe.rules import Recipe, Rule

LAYERS = [cast(Layer, SimpleNamespace(name="dense"))]
LEFT = [Skipped("depthwise", "DEPTHWISE_CONV_2D", "it stays in float")]


def refuse(rule: Rule) -> None:
    refuse_rules_for_left_layers(Recipe([rule]), LAYERS, LEFT)


def test_a_rule_for_a_layer_without_points_is_refused_with_the_reason():
    with pytest.raises(RecipeError, match=r"'\^dep' is for layer 'depthwise' .*no points: it stays in float\. Leave"):
        refuse(Rule("^dep", bits=4))


@pytest.mark.parametrize(
    "rule", [Rule(".*", bits=4), Rule("nothing", bits=4), Rule("depthwise", equalize="off")], ids=str
)
def test_rules_that_match_other_layers_or_none_or_are_for_activations_are_no_matter(rule: Rule):
    refuse(rule)
