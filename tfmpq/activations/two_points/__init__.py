"""Activations that are held as two int8 tensors."""
