"""The `tfmpq` program for Bazel.

Not in tfmpq/ itself: a script's directory comes first on the path, and `tfmpq/keras` would pass for Keras.
"""

from __future__ import annotations

import sys

from tfmpq.cli import run

if __name__ == "__main__":
    sys.exit(run())
