from __future__ import annotations

import dataclasses

import pytest

from converters.errors import RecipeError
from tfmpq.recipe.rules import LayerSettings, Recipe, Rule

DEFAULTS = LayerSettings(bits=4, max_points=2, algorithm="radix", lowering="parallel")
LAYERS = ("stem", "block_1/conv", "block_10/conv", "block_1/project", "classifier")


def test_later_rules_win_field_by_field():
    recipe = Recipe(
        [
            Rule("block", bits=3, max_points=3, lowering="fused"),
            Rule("project$", bits=8),
            Rule("^block_1/", algorithm="greedy", bits=2),
            Rule("^classifier$", keep="int8"),
        ]
    )
    assert recipe.resolve("stem", DEFAULTS) == DEFAULTS
    assert recipe.resolve("block_10/conv", DEFAULTS) == LayerSettings(3, 3, "radix", "fused")
    assert recipe.resolve("block_1/project", DEFAULTS) == LayerSettings(2, 3, "greedy", "fused")
    assert recipe.resolve("classifier", DEFAULTS) == dataclasses.replace(DEFAULTS, keep="int8")
    recipe.check(LAYERS, algorithms={"radix", "greedy"})


def test_json_round_trip():
    recipe = Recipe(
        [
            Rule(r"block_\d+/(conv|project)", bits=3, max_points=1, algorithm="greedy", lowering="fused"),
            Rule("^stem$", keep="int8"),
        ]
    )
    assert Recipe.from_json(recipe.to_json()) == recipe
    assert '"keep"' not in Recipe(recipe.rules[:1]).to_json()  # unset fields are left out
    assert Recipe.from_json(Recipe().to_json()) == Recipe()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"bits": 9}, "bits must be a whole number from 2 to 8, not 9"),
        ({"bits": 1}, "bits must be"),
        ({"bits": True}, "bits must be"),
        ({"bits": "4"}, "bits must be"),
        ({"max_points": 5}, "max_points must be a whole number from 1 to 4"),
        ({"max_points": 0}, "max_points must be"),
        ({"lowering": "merged"}, "lowering must be 'auto' or 'split' or 'fused' or 'parallel'"),
        ({"keep": "float"}, "keep must be 'int8'"),
        ({"algorithm": 3}, "algorithm must be a name"),
        ({}, "sets nothing: give it one of bits, max_points"),
        ({"keep": "int8", "bits": 4}, "leaves the layer untouched"),
        ({"match": "block_(1", "bits": 4}, r"rule 'block_\(1': match is no regular expression"),
        ({"match": 3, "bits": 4}, "must be a regular expression"),
    ],
)
def test_bad_rules(fields, message):
    with pytest.raises(RecipeError, match=message):
        Rule(**{"match": "block", **fields})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not JSON: .*line 1"),
        ("[]", "a JSON object with a list of rules"),
        ('{"rules": {}}', "a JSON object with a list of rules"),
        ('{"rules": [], "bits": 4}', "the recipe has an unknown field 'bits'"),
        (
            '{"rules": [{"match": "a", "bits": 4}, {"match": "b", "max_point": 2}]}',
            "rule 2 .*'max_point'.*'max_points'",
        ),
        ('{"rules": [{"bits": 4}]}', "rule 1 of the recipe has no match"),
        ('{"rules": ["block"]}', "rule 1 of the recipe must be an object"),
        ('{"rules": [{"match": "a", "bits": 4, "bits": 8}]}', "sets a field twice"),
        ('{"rules": [{"match": "a", "bits": 40}]}', "bits must be"),
    ],
)
def test_bad_json(text, message):
    with pytest.raises(RecipeError, match=message):
        Recipe.from_json(text)


def test_a_recipe_holds_rules():
    with pytest.raises(RecipeError, match="holds Rule objects"):
        Recipe([{"match": "stem", "bits": 8}])  # pyright: ignore[reportArgumentType]


def test_a_rule_that_matches_nothing_suggests_names():
    with pytest.raises(
        RecipeError, match=r"'\^clasifier\$' matches none of the model's 5 layers. Nearest: 'classifier'"
    ):
        Recipe([Rule("stem", bits=8), Rule("^clasifier$", bits=8)]).check(LAYERS)
    with pytest.raises(RecipeError, match="'stem'"):  # nothing is near: the layers are listed
        Recipe([Rule("zzz", bits=8)]).check(LAYERS)


def test_an_unknown_algorithm_suggests_names():
    with pytest.raises(RecipeError, match=r"no algorithm 'gredy'\. Nearest: 'greedy'"):
        Recipe([Rule("stem", algorithm="gredy")]).check(LAYERS, algorithms={"radix", "greedy"})
