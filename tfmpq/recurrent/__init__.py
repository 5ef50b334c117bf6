"""Codes of LSTM operators, chosen by output error at the scales that TensorFlow gave their matrices."""
