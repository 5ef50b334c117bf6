"""Lowerings: points become TensorFlow Lite operators. A new one is a module here and a row in forms.py."""
