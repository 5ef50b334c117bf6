"""Measuring a machine: the cost table behind ``target=``."""
