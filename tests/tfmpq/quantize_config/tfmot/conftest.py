"""Keeps these tests out of the process of all others; tests/test_quantize_config.py runs them, file by file.

By hand: ``pytest tests/tfmot/test_applied.py``. A file that is named is not left out.
"""

from __future__ import annotations

collect_ignore_glob = ["*.py"]
