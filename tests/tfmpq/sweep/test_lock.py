"""The lock of a folder: one owner, who is named, and whose death frees it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from converters.errors import MissingDependencyError, OptionError
from tfmpq.sweep.lock import LOCK, locked

_HOLD = """
import sys
from pathlib import Path
from tfmpq.sweep.lock import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_second_owner_is_refused_until_the_first_is_killed(tmp_path: Path):
    command = [sys.executable, "-c", _HOLD, str(tmp_path)]
    path = os.pathsep.join(part for part in sys.path if part)
    environment = {**os.environ, "PYTHONPATH": path}
    holder = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment)
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with (
            pytest.raises(OptionError, match=rf"another sweep is running .* \(process {holder.pid}\), since 20"),
            locked(tmp_path),
        ):
            pass
    finally:
        holder.kill()
        holder.communicate()
    with locked(tmp_path):
        assert str(os.getpid()) in (tmp_path / LOCK).read_text()
    with locked(tmp_path):  # and again once it is given back
        pass


def test_systems_without_such_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "fcntl", None)
    with pytest.raises(MissingDependencyError, match="Linux and macOS"), locked(tmp_path):
        pass
