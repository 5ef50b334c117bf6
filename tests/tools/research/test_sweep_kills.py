"""Sweeps that are killed: a few times here, many by the tool itself."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tools.research.sweep_kills import kill_sweeps, prepare


# By day: workers whose parent is killed (test_pool.py), rows that are half written or without a file (test_results.py).
@pytest.mark.slow
@pytest.mark.nightly
@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="looks for processes in /proc")
def test_no_row_is_lost_or_doubled(tmp_path: Path, conv_net_float: bytes, images: np.ndarray):
    prepare(tmp_path, conv_net_float, images[:16])
    assert list(kill_sweeps(tmp_path, 3, seed=1)) == []
