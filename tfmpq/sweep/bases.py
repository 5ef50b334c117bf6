"""Rows that every model has, in the place of a variant: what its other files are compared with."""

FLOAT, STOCK = BASES = "float32", "stock"
