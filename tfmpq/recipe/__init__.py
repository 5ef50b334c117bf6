"""What is asked for: rules for layers, and budgets."""

from tfmpq.recipe.budgets import Budget, Epsilon, ExtraBits, MaxBytes, MaxDrop
from tfmpq.recipe.rules import LayerSettings, Recipe, Rule

__all__ = ["Budget", "Epsilon", "ExtraBits", "LayerSettings", "MaxBytes", "MaxDrop", "Recipe", "Rule"]
