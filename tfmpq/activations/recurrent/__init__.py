"""Recurrent layers: what their int8 kernels need to hold between steps."""
