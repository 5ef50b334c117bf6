"""Values of activations on samples, and what int8 makes of them."""
