"""What int8 activations lose, and the float model rewritten so that they lose less: exactly, before it is quantized."""
