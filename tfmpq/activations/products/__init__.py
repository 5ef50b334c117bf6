"""Products of two activations: what fast kernels want of their right sides."""
