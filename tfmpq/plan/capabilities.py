"""What cannot be written, found before any work: lowerings against layers, algorithms and the target."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from converters.errors import LoweringError, RecipeError
from converters.layers.layer import Layer
from converters.lowering.split import can_store_int4
from converters.points import INT8_LIMIT, grid_limits
from converters.targets import Target
from tfmpq.algorithms import ALGORITHMS
from tfmpq.recipe.rules import LayerSettings, Recipe


def check_lowerings(
    layers: Sequence[Layer], settings: Mapping[str, LayerSettings], recipe: Recipe, target: Target
) -> None:
    """Refuses lowerings that no choice of points can make possible.

    Raises:
        LoweringError: A layer's points cannot merge as its lowering needs, or the target lacks an operator.
        RecipeError: A rule asks for a form that its layer cannot have.
    """
    for layer in layers:
        chosen = settings[layer.name]
        if chosen.keep or chosen.lowering not in ("split", "fused"):
            continue
        rule = _rule(recipe, layer.name)
        asked = f"{rule}lowering={chosen.lowering!r} for layer {layer.name!r} ({layer.uses[0].float_op.name})"
        if chosen.max_points > 1 and not may_merge(chosen):
            raise LoweringError(
                f"{asked}: {chosen.max_points} points of {chosen.bits} bits by algorithm {chosen.algorithm!r} do not "
                "merge into int8 rows. Use lowering='parallel' or 'auto', fewer points, or algorithm='radix' with 2 "
                "points of at most 7 bits."
            )
        if chosen.lowering == "fused":
            continue
        if not target.supports("FULLY_CONNECTED", "INT4"):
            raise LoweringError(
                f"{asked} is impossible on target {target.name!r}: its table has no FULLY_CONNECTED with INT4 weights. "
                "Use lowering='fused' or 'auto'."
            )
        if rule and chosen.bits <= 4 and not can_store_int4(layer, layer.channels, chosen.bits):
            raise RecipeError(
                f"{asked} is impossible on target {target.name!r}: INT4 weights run in FULLY_CONNECTED only, which "
                "stands for 1x1 convolutions with stride 1 and dense layers, with at least 2 rows and an even number "
                "of inputs. Use lowering='fused' in this rule, or none."
            )


def may_merge(settings: LayerSettings) -> bool:
    """Whether rows with all points may merge into int8 rows, as far as it is known before they are chosen."""
    ratios = ALGORITHMS[settings.algorithm].integer_ratios
    if ratios:
        return max(map(abs, grid_limits(settings.bits, settings.max_points))) <= INT8_LIMIT
    return ratios is None


def _rule(recipe: Recipe, layer_name: str) -> str:
    """The rule that set the layer's lowering, as the start of a message; empty: none did."""
    setters = [rule for rule in recipe.rules if rule.lowering is not None and rule.matches(layer_name)]
    return f"rule {setters[-1].match!r}: " if setters else ""
