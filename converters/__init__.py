"""Everything about model files: reading them, editing TensorFlow Lite graphs, lowering points to ops."""
