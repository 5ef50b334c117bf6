"""Float graph -> float graph that computes the same, in a form that quantizes better."""
