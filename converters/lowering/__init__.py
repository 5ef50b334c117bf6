"""Lowerings: points become TensorFlow Lite ops. A new one is a module here and a line in the registry."""
