"""``python -m tfmpq``."""

from __future__ import annotations

import sys

from tfmpq.cli import run

sys.exit(run())
