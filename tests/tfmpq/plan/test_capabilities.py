"""Lowerings that no choice of points can make possible."""

from __future__ import annotations

import pytest

from converters.errors import LoweringError, RecipeError
from converters.targets import Target, load_target
from tests.support.pipeline import residual
from tfmpq.plan.capabilities import check_lowerings, may_merge
from tfmpq.recipe.rules import LayerSettings, Recipe, Rule

XNNPACK = load_target("xnnpack")


def check(settings: LayerSettings, *rules: Rule, target: Target = XNNPACK) -> None:
    layers = list(residual().layers.values())
    recipe = Recipe(rules)
    check_lowerings(layers, {x.name: recipe.resolve(x.name, settings) for x in layers}, recipe, target)


@pytest.mark.parametrize(
    ("bits", "points", "algorithm", "expected"),
    [
        (4, 2, "radix", True),
        (4, 3, "radix", False),  # 12 bits
        (2, 4, "radix", True),
        (3, 2, "nearest_radix", True),
        (7, 2, "radix", True),
        (8, 2, "radix", False),
        (4, 2, "greedy", False),
        (4, 2, "nearest", False),
    ],
)
def test_may_merge(bits: int, points: int, algorithm: str, expected: bool):
    assert may_merge(LayerSettings(bits, points, algorithm, "fused")) == expected


def test_algorithms_of_ones_own_are_judged_by_their_points(monkeypatch: pytest.MonkeyPatch):
    from tfmpq.algorithms import ALGORITHMS, Algorithm

    monkeypatch.setitem(ALGORITHMS, "own", Algorithm(ALGORITHMS["greedy"].quantize, corrects_bias=False))
    assert may_merge(LayerSettings(4, 2, "own", "fused"))


def test_possible_ones_pass():
    for lowering in ("auto", "split", "fused", "parallel"):
        check(LayerSettings(4, 2, "radix", lowering))
    check(LayerSettings(4, 2, "greedy", "auto"))
    check(LayerSettings(4, 2, "greedy", "parallel"))
    check(LayerSettings(4, 1, "greedy", "split"))  # nothing to merge
    check(LayerSettings(4, 2, "radix", "auto"), Rule("expand", lowering="split"))
    check(LayerSettings(4, 2, "greedy", "fused"), Rule("", keep="int8"))


def test_points_that_cannot_merge():
    for lowering in ("split", "fused"):
        with pytest.raises(
            LoweringError, match=rf"lowering='{lowering}' for layer 'stem' \(CONV_2D\): 2 points of 4 bits"
        ):
            check(LayerSettings(4, 2, "greedy", lowering))
    with pytest.raises(LoweringError, match=r"^rule 'conv\$': lowering='fused' .* Use lowering='parallel' or 'auto'"):
        check(LayerSettings(4, 3, "radix", "parallel"), Rule("stem", bits=2), Rule("conv$", lowering="fused"))


def test_rules_that_ask_for_forms_the_layer_cannot_have():
    for name in ("stem", "conv", "dw"):
        with pytest.raises(
            RecipeError, match=rf"rule '{name}': lowering='split' for layer '{name}' .* on target 'xnnpack'"
        ):
            check(LayerSettings(4, 2, "radix", "auto"), Rule(f"{name}", lowering="split"))


def test_targets_without_int4():
    rows = tuple(row for row in XNNPACK.rows if row.weights != "INT4")
    old = Target("old phone", "xnnpack", rows, XNNPACK.limits)
    with pytest.raises(
        LoweringError, match=r"impossible on target 'old phone': its table has no FULLY_CONNECTED with INT4"
    ):
        check(LayerSettings(4, 2, "radix", "split"), target=old)
    check(LayerSettings(4, 2, "radix", "auto"), target=old)
