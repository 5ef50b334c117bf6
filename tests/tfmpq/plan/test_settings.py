"""Settings of layers by default and by rules, and lowerings that no choice of points can make possible."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from converters.errors import LoweringError, RecipeError
from converters.layers.layer import Layer
from converters.targets import Target, load_target
from tests.support.pipeline import RESIDUAL_LAYERS, residual
from tests.support.table_nets import float_table, gather_model, table_layer
from tfmpq.options import Options
from tfmpq.plan.settings import check_lowerings, may_merge, resolve_settings, settle_layers
from tfmpq.recipe.budgets import ExtraBits
from tfmpq.recipe.rules import LayerSettings, Recipe, Rule
from tfmpq.stages import Found

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
    for lowering in ("auto", "split", "fused", "parallel", "compact"):
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


def test_points_that_no_row_is_to_have_need_not_merge():
    def settled(fraction: float) -> list[Found]:
        options = Options(lowering="fused", algorithm="greedy", budget=ExtraBits(fraction))
        return settle_layers(layers_of(), recipe=Recipe([]), options=options, simulated={}, target=XNNPACK)

    assert {layer.settings.max_points for layer in settled(0.0)} == {1}
    with pytest.raises(LoweringError, match="2 points of 4 bits by algorithm 'greedy' do not merge"):
        settled(0.1)


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


DEFAULTS: dict[str, Any] = {"bits": 4, "max_points": None, "algorithm": "radix", "lowering": "parallel"}


def layers_of(names: tuple[str, ...] = RESIDUAL_LAYERS) -> list:
    found = residual().layers
    return [found[name] for name in names]


def resolved(*rules: Rule, **options: Any) -> dict[str, LayerSettings]:
    return resolve_settings(layers_of(), Recipe(rules), **{**DEFAULTS, **options})


def test_tender_layers_have_eight_bits():
    found = resolved()
    assert {name: s.bits for name, s in found.items()} == {
        "stem": 8,  # first
        "expand": 4,
        "dw": 8,  # depthwise
        "project": 4,
        "conv": 4,
        "classifier": 8,  # last
    }
    assert {name: s.max_points for name, s in found.items()} == {n: 1 if s.bits == 8 else 2 for n, s in found.items()}
    assert {(s.algorithm, s.lowering, s.keep) for s in found.values()} == {("radix", "parallel", None)}


def test_small_layers_have_eight_bits():
    expand, large = layers_of(("expand", "conv"))
    wide = replace(large, weight=np.ones((16, 99 * expand.weight.size // 16), np.float32))
    found = resolve_settings([expand, wide], Recipe(), **DEFAULTS)
    assert found["expand"].bits == 4  # one percent is enough
    wider = replace(large, weight=np.ones((16, 100 * expand.weight.size // 16), np.float32))
    found = resolve_settings([expand, wider], Recipe(), **DEFAULTS)
    assert (found["expand"].bits, found["conv"].bits) == (8, 4)


def test_rules_win_over_defaults():
    found = resolved(Rule("stem|dw", bits=3), Rule("conv", max_points=4, algorithm="greedy"), Rule("stem", bits=5))
    assert (found["stem"].bits, found["stem"].max_points) == (5, 2)
    assert (found["dw"].bits, found["dw"].max_points) == (3, 2)
    assert (found["conv"].bits, found["conv"].max_points, found["conv"].algorithm) == (4, 4, "greedy")
    assert found["classifier"].bits == 8


def test_the_points_asked_for():
    points = {name: s.max_points for name, s in resolved(max_points=3).items()}
    # 8-bit rows among lower ones keep one.
    assert points == {"stem": 1, "expand": 3, "dw": 1, "project": 3, "conv": 3, "classifier": 1}
    # Asked for 8 bits and more points, all rows may take them; a rule that lowers a layer's bits leaves it the default.
    assert {s.max_points for s in resolved(bits=8, max_points=3).values()} == {3}
    assert {s.max_points for s in resolved(bits=8).values()} == {1}
    assert resolved(Rule("stem", max_points=2))["stem"].max_points == 2


def test_recipes_are_checked():
    with pytest.raises(RecipeError, match=r"'steam' matches none .* Nearest: 'stem'"):
        resolved(Rule("steam", bits=4))
    with pytest.raises(RecipeError, match="there is no algorithm 'redix'"):
        resolved(Rule("stem", algorithm="redix"))


def test_layers_stored_as_int8_anyway_have_eight_bits_in_a_file():
    """Nothing is rounded coarser than it is stored, unless it is to compress well or a rule says so."""
    by_size = {"lowering": "auto"}
    assert resolved(**by_size)["conv"].bits == 8  # 3x3
    assert resolved(**by_size)["expand"].bits == 4
    assert resolved(optimize="download", **by_size)["conv"].bits == 4
    assert resolved(Rule("conv", bits=4), **by_size)["conv"].bits == 4
    assert resolved(Rule("conv", max_points=2), **by_size)["conv"].bits == 4  # points were asked for
    assert resolved(lowering="compact")["conv"].bits == 4
    assert resolved(lowering="auto", bits=6)["expand"].bits == 6  # no file stores fewer than 8: it was asked for
    assert resolved(int4=False, **by_size)["expand"].bits == 8  # a target that cannot run INT4


def test_convolutions_of_a_target_that_keeps_them_as_int4():
    found = resolved(
        Rule("project", lowering="fused"), Rule("classifier", algorithm="nearest"), lowering="auto", own=True
    )
    # Depthwise and small last layers are tender; 3x3 convolutions are stored as INT4 there, and so have 4 bits.
    own = "own operator"
    assert {name: s.lowering for name, s in found.items()} == {
        "stem": own, "expand": own, "dw": "auto", "project": "fused", "conv": own, "classifier": "auto"
    }  # fmt: skip
    assert found["conv"].bits == 4
    greedy = resolved(lowering="auto", own=True, algorithm="greedy", max_points=4)
    assert greedy["conv"].lowering == (own if may_merge(greedy["conv"]) else "auto")


def test_rows_of_an_odd_number_of_inputs_are_stored_as_int8():
    (expand,) = layers_of(("expand",))
    odd = replace(expand, weight=np.ones((16, 7), np.float32))
    assert resolve_settings([odd], Recipe(), **{**DEFAULTS, "lowering": "auto"})["expand"].bits == 8


@pytest.mark.parametrize("end", ["is_first", "is_last"])
def test_large_ends_are_not_spared(end: str):
    expand, project = layers_of(("expand", "project"))
    for share, bits in ((0.05, 8), (0.5, 4)):
        rows = round(share / (1 - share) * project.weight.size / expand.columns)
        layer = replace(expand, weight=np.ones((rows, expand.columns), np.float32), **{end: True})
        assert resolve_settings([layer, project], Recipe(), **{**DEFAULTS, "lowering": "auto"})["expand"].bits == bits
    assert resolve_settings([layer, project], Recipe(), **DEFAULTS)["expand"].bits == 8  # parallel


def _settings(layer: Layer, *rules: Rule, bits: int = 4, lowering: str = "auto", **more: Any) -> LayerSettings:
    found = resolve_settings(
        [layer], Recipe(rules), bits=bits, max_points=None, algorithm="greedy", lowering=lowering, **more
    )
    return found[layer.name]


@pytest.mark.parametrize("lowering", ["auto", "fused", "compact"])
@pytest.mark.parametrize("tied", [False, True])
def test_tables_have_few_bits_and_forms_of_their_own(lowering: str, tied: bool):
    _, layer = table_layer(gather_model(float_table(), tied=tied))
    found = _settings(layer, lowering=lowering)
    form = "tied" if tied else "lookup"
    assert (found.bits, found.max_points, found.lowering) == (4, 2, form)
    assert found.algorithm == ("greedy" if tied else "radix")
    assert _settings(layer, Rule("tok", bits=8)).bits == 8
    assert _settings(layer, Rule("tok", keep="int8")).keep == "int8"
    without = _settings(layer, lookups=False)
    assert (without.bits, without.max_points) == (8, 1)


def test_rows_of_odd_length_have_eight_bits():
    _, layer = table_layer(gather_model(float_table(columns=17)))
    assert _settings(layer).bits == 8
    assert _settings(layer, bits=6).bits == 8  # no file stores them shorter
