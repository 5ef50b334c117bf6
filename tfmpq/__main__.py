"""``python -m tfmpq``, and the ``tfmpq`` program."""

from __future__ import annotations

import os
import sys

_INTERRUPTED = 130


def main() -> int:
    """Runs the command line and returns the exit code; interrupted while packages load, it says one line too."""
    try:
        from tfmpq.cli import run  # half a second, and the commands load more

        code = run()
    except KeyboardInterrupt:
        print("tfmpq: interrupted", file=sys.stderr)
        code = _INTERRUPTED
    if code == _INTERRUPTED:
        sys.stderr.flush()
        os._exit(code)  # packages that were loading when they were interrupted may crash as Python ends
    return code


if __name__ == "__main__":
    sys.exit(main())
