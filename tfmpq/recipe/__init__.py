"""What is asked for: rules for layers, and budgets."""

from tfmpq.recipe.budgets import Budget, Epsilon, ExtraBits, MaxBytes, MaxDrop
from tfmpq.recipe.rules import LOWERINGS, LayerSettings, Recipe, Rule

__all__ = ["LOWERINGS", "Budget", "Epsilon", "ExtraBits", "LayerSettings", "MaxBytes", "MaxDrop", "Recipe", "Rule"]
