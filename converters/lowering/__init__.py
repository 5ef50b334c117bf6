"""Lowerings: points become TensorFlow Lite ops. A new one is a module here and a form in tfmpq/emission.py."""
