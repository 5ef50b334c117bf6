"""Any model a user may bring -> a float .tflite model, and its stock int8 twin."""
