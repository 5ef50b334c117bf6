"""What int8 loses of activations, and what would help: only told."""
