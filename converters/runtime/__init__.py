"""Running files: the interpreter, processes of their own, delegation, inner activations."""
