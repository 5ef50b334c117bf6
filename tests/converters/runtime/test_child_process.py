"""A file is run in a child process: kernels that abort are an answer, not the end."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from converters.runtime import child_process as isolated
from converters.runtime import forks
from converters.runtime.child_process import refusal, refusals
from converters.runtime.fork_server import Request
from converters.runtime.forks import ForkServer, NoForksError
from converters.runtime.limits import Limits
from tests.support.op_models import softmax_file


def no_forks(request: Request) -> int | None:
    raise NoForksError


@pytest.fixture(
    params=[pytest.param(True, marks=pytest.mark.skipif(sys.platform != "linux", reason="no safe forks")), False],
    ids=["a fork", "a Python of its own"],
    autouse=True,
)
def _forked(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if not request.param:
        monkeypatch.setattr(isolated, "run_forked", no_forks)


def feed() -> dict[str, np.ndarray]:
    return {"x": np.zeros((1, 10), np.int8)}


def test_a_file_that_runs_is_not_refused():
    assert refusal(softmax_file(0.1), feed(), "reference") is None


def test_kernels_that_abort_are_reported():
    # The reference SOFTMAX ends the process where the scale is too small for its fixed-point arithmetic.
    reason = refusal(softmax_file(1e-9), feed(), "reference")
    assert reason is not None
    assert "reference kernels end the process" in reason


def test_the_kernels_after_a_death_still_get_their_turn():
    found = refusals(softmax_file(1e-9), feed(), ["builtin", "reference", "xnnpack"])
    assert list(found) == ["reference"]
    assert found["reference"].died
    assert found["reference"].reason == "the reference kernels end the process (SIGABRT)"


def test_the_runtimes_own_reason_is_passed_on():
    content = bytearray(softmax_file(0.1))
    reason = refusal(bytes(content[: len(content) // 2]), feed(), "builtin")
    assert reason is not None
    assert "corrupt" in reason or "cut off" in reason
    assert not refusals(bytes(content[: len(content) // 2]), feed(), ["builtin"])["builtin"].died
    assert "model.tflite" not in reason  # the temporary path would mean nothing to a reader


def test_where_python_cannot_start_itself_nothing_is_known(monkeypatch: pytest.MonkeyPatch):
    with monkeypatch.context() as patch:
        patch.setattr("sys.executable", "/no/such/python")
        patch.setattr(isolated, "run_forked", no_forks)
        assert not refusals(softmax_file(1e-9), feed(), ["reference"])
    monkeypatch.setattr(isolated, "_SCRIPT", "import no_such_module")
    assert not refusals(softmax_file(1e-9), feed(), ["reference"])


def test_a_child_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(isolated, "_SCRIPT", "import time; time.sleep(60)")
    monkeypatch.setattr(isolated, "limits_for", lambda size: Limits(1 << 30, 1.0))
    found = refusals(b"", feed(), ["builtin"])["builtin"]
    assert (found.reason, found.died) == ("no result after 1 seconds", False)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not count what a process writes to")
def test_a_child_that_needs_too_much_memory_is_stopped(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(isolated, "_SCRIPT", "bytearray(2 << 30)")
    monkeypatch.setattr(isolated, "limits_for", lambda size: Limits(1 << 30, 60.0))
    found = refusals(b"", feed(), ["builtin"])["builtin"]
    assert not found.died
    assert found.reason == "they need more than the 1.1 GB of memory there are"


def test_ctrl_c_ends_the_child_too(monkeypatch: pytest.MonkeyPatch):
    started: list[Any] = []

    class Interrupted(subprocess.Popen):
        def wait(self, timeout: float | None = None) -> int:
            if started:
                return super().wait(timeout)
            started.append(self)
            raise KeyboardInterrupt

    monkeypatch.setattr(isolated, "_SCRIPT", "import time; time.sleep(60)")
    monkeypatch.setattr(isolated, "run_forked", no_forks)
    monkeypatch.setattr("converters.runtime.child_process.subprocess.Popen", Interrupted)
    with pytest.raises(KeyboardInterrupt):
        refusals(b"", feed(), ["builtin"])
    assert started[0].poll() is not None


def runs(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


@pytest.mark.skipif(sys.platform != "linux", reason="no safe forks")
def test_ctrl_c_ends_the_fork_too(monkeypatch: pytest.MonkeyPatch):
    forked: list[int] = []

    def interrupted(self: ForkServer, request: Request) -> int | None:
        self._own.requests.write(request.line())
        self._own.requests.flush()
        while not (said := Path(request.out).read_text() if Path(request.out).exists() else ""):
            time.sleep(0.01)
        forked.append(int(said))
        assert runs(forked[0])
        raise KeyboardInterrupt

    monkeypatch.setattr(isolated, "_SCRIPT", "import os, time; print(os.getpid(), flush=True); time.sleep(60)")
    monkeypatch.setattr(isolated, "run_forked", forks.run_forked)
    monkeypatch.setattr(ForkServer, "run", interrupted)
    with pytest.raises(KeyboardInterrupt):
        refusals(b"", feed(), ["builtin"])
    deadline = time.monotonic() + 30
    while runs(forked[0]):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_an_error_of_ours_is_no_death():
    values = np.full((1, 3), np.inf, np.float32)  # no number that an int8 input could hold
    found = refusals(softmax_file(0.1), {"x": values}, ["builtin"])["builtin"]
    assert not found.died
    assert "process" not in found.reason
