"""The `tfmpq` program for Bazel.

Not in tfmpq/ itself: a script's directory comes first on the path, and `tfmpq/keras` would pass for Keras.
"""

from __future__ import annotations

import sys

from tfmpq.__main__ import main

if __name__ == "__main__":
    sys.exit(main())
