"""Rules for layers that the file leaves as stock has them: an error that says why, not that there is no such layer."""

from __future__ import annotations

from collections.abc import Sequence

from converters.errors import RecipeError
from converters.layers.layer import Layer, Skipped
from converters.printable import shown
from tfmpq.recipe.rules import Recipe


def refuse_rules_for_left_layers(recipe: Recipe, layers: Sequence[Layer], skipped: Sequence[Skipped]) -> None:
    """Refuses rules whose only layers get no points.

    Args:
        recipe: rules of the model itself and of the caller.
        layers: that can be quantized.
        skipped: those that cannot, and why.

    Raises:
        RecipeError: With the layer and the reason.
    """
    for rule in recipe.rules:
        if not rule.layer_settings() or any(rule.matches(layer.name) for layer in layers):
            continue
        left = next((entry for entry in skipped if rule.matches(entry.name)), None)
        if left is not None:
            raise RecipeError(
                f"rule {shown(rule.match)} is for layer '{left.name}' ({left.op}), which gets no points: "
                f"{left.reason}. "
                "Leave the rule out; a model that was annotated or simulated brings one for each such layer."
            )
