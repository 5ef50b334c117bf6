"""What is asked for: rules for layers, and budgets."""

from tfmpq.recipe.budgets import Budget, Epsilon, ExtraBits, LikeStock, MaxBytes, MaxDrop
from tfmpq.recipe.rules import LayerSettings, Recipe, Rule

__all__ = ["Budget", "Epsilon", "ExtraBits", "LayerSettings", "LikeStock", "MaxBytes", "MaxDrop", "Recipe", "Rule"]
