"""Sweeps: models x options x budgets, converted and measured by many processes or machines, and resumed at any time."""
