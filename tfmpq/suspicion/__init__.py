"""Signs that a conversion will not give what its user expects: wrong data, and activations that int8 cannot hold."""
