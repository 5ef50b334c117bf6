"""Scripts in forks of a process that has loaded what they need."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest

from converters.runtime import forks
from converters.runtime.fork_server import Request
from converters.runtime.forks import ForkServer, NoForksError, run_forked
from converters.runtime.process_pool import ProcessPool

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="no safe forks")


def run(folder: Path, script: str, *arguments: str, seconds: float = 60.0) -> tuple[int | None, str, str]:
    out, errors = folder / "out", folder / "errors"
    code = run_forked(Request(script, arguments, str(out), str(errors), seconds))
    return code, out.read_text(), errors.read_text()


def test_a_script_runs_as_python_would_run_it(tmp_path: Path):
    script = "import sys; print(sys.argv, __name__, sys.stdin.read()); print('said', file=sys.stderr)"
    assert run(tmp_path, script, "a", "b") == (0, "['-c', 'a', 'b'] __main__ \n", "said\n")


@pytest.mark.parametrize(
    ("script", "status"),
    [
        ("raise SystemExit", 0),
        ("raise SystemExit(3)", 3),
        ("raise SystemExit('no')", 1),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", -signal.SIGSEGV),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", -signal.SIGKILL),
    ],
)
def test_how_it_ends(tmp_path: Path, script: str, status: int):
    assert run(tmp_path, script)[0] == status


def test_errors_are_told(tmp_path: Path):
    code, _, errors = run(tmp_path, "1 / 0")
    assert code == 1
    assert errors.endswith("ZeroDivisionError: division by zero\n")


def test_what_takes_too_long_is_ended(tmp_path: Path):
    assert run(tmp_path, "import time; time.sleep(60)", seconds=0.2)[0] is None
    assert run(tmp_path, "print(1)")[:2] == (0, "1\n")


def test_nothing_is_left_for_the_next(tmp_path: Path):
    change = "import os, resource, sys; os.chdir('/'); sys.left = 1; resource.setrlimit(resource.RLIMIT_CPU, (9, 9))"
    assert run(tmp_path, change)[0] == 0
    look = "import os, resource, sys; print(os.getcwd(), hasattr(sys, 'left'), resource.getrlimit(resource.RLIMIT_CPU))"
    import resource

    assert run(tmp_path, look)[1] == f"{Path.cwd()} False {resource.getrlimit(resource.RLIMIT_CPU)}\n"


def test_where_nothing_can_be_forked_it_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("sys.executable", "/no/such/python")
    with pytest.raises(NoForksError):
        ForkServer()
    monkeypatch.setattr("sys.executable", "/bin/true")  # which reads nothing
    monkeypatch.setattr(forks, "_servers", ProcessPool(ForkServer))
    with pytest.raises(NoForksError):
        run(tmp_path, "print(1)")


def test_a_server_that_was_killed_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    servers = ProcessPool(ForkServer)
    monkeypatch.setattr(forks, "_servers", servers)
    with servers.take() as first:
        pass
    os.kill(first._own.process.pid, signal.SIGKILL)
    first._own.process.wait()
    assert run(tmp_path, "print(1)")[:2] == (0, "1\n")
    servers.close()
