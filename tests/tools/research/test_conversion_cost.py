"""The tool that measures what conversions cost."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tools.research.conversion_cost import cpu_seconds, row

_BUSY = "import time\nwhile time.process_time() < 0.5: pass\nprint('done', flush=True)\ninput()"


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="processes are read from Linux's /proc")
def test_children_count_whether_they_have_ended_or_not():
    before = cpu_seconds()
    with subprocess.Popen([sys.executable, "-c", _BUSY], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        running = cpu_seconds()
        child.communicate(b"\n")
    assert running - before > 0.4
    assert cpu_seconds() >= running - 0.02  # the clock of /proc has ticks of 10 ms


def test_a_row_names_the_stages_that_take_time():
    stock = {"cpu": 10.0, "wall": 5.0, "peak": 100, "stages": {}}
    ours = {"cpu": 15.0, "wall": 8.0, "peak": 120, "stages": {"points": 4.26, "lowering": 0.01}}
    assert row("net", 50, stock, ours) == "| net | 50 | 10.0 | 15.0 | 1.50 | 5 | 8 | 100 | 120 | points 4.3 |"
