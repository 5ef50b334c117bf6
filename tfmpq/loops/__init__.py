"""Loops, as of recurrent layers: their bodies are converted as networks of their own, on the states at some steps."""
