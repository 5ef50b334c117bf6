"""Everything about model files: reading them, editing TensorFlow Lite graphs, lowering points to ops."""

import time

IMPORTED = time.time()  # what was written to later may be other code than this process runs
