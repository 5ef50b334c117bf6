"""TensorFlow Lite files: reading, editing by reference, writing, and what tfmpq notes in them."""
