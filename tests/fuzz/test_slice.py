"""A fixed slice of what `make fuzz` does for as long as one likes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from converters.runtime.sessions import child_environment

pytestmark = [pytest.mark.slow, pytest.mark.nightly]
_MUTANTS = "inspect=150,expand=150,delegate=6,evaluate=10,diff=8,diff_first=4,benchmark=1,convert=8"


def run(folder: Path, module: str, *arguments: str) -> str:
    # In a process of its own: one in which TensorFlow has run cannot be forked.
    command = [sys.executable, "-m", module, "--folder", str(folder), *arguments]
    done = subprocess.run(command, env=child_environment(), capture_output=True, text=True)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr[-3000:]}"
    return done.stdout


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """With the seed files in it, once they are made."""
    return tmp_path_factory.mktemp("fuzz")


def test_a_slice_of_mutants_ends_well(folder):
    out = run(folder, "tests.fuzz", "--fresh", f"--until={_MUTANTS}", "--seconds=900")
    rows = {" ".join(row.split()[:2]) for row in out.splitlines()}
    assert {entry.replace("=", " ") for entry in _MUTANTS.split(",")} <= rows


def test_kills_leave_nothing_half_done(folder):
    assert "5 kills, 0 problems" in run(folder, "tests.fuzz.kills", "--count=5")
