"""What a runtime must compute: NumPy reference of the integer arithmetic, TensorFlow program for gradients."""
