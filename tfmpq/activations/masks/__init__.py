"""Masks of attention, whose huge values stretch the range of scores."""
