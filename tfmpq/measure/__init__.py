"""Evidence about a model on data: input moments, output gradients, sensitivity."""
