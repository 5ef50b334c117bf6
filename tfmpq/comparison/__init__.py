"""Ways of quantizing a model, ours and others', side by side: accuracy, size, time."""
