"""Tasks in processes of their own: one that dies takes no other with it, and all end with their parent."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tfmpq.sweep import pool
from tfmpq.sweep.pool import run_tasks


def _task(number: int, send: Callable[[int], None]) -> None:
    send(10 * number)
    if number == 1:
        os._exit(3)
    if number == 2:
        raise ValueError("two")


def test_a_process_that_is_dead_before_it_is_listened_to_has_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    usual = pool._listen

    def late(busy: list[Any], **told: Any) -> None:
        if any(worker.task == 2 for worker in busy):  # while the other process, of task 1, dies
            next(worker for worker in busy if worker.task == 1).process.join()
            monkeypatch.setattr(pool, "_listen", usual)
            (worker,) = [worker for worker in busy if worker.task == 2]
            return usual([worker], **told)
        return usual(busy, **told)

    monkeypatch.setattr(pool, "_listen", late)
    failures: dict[int, str] = {}
    run_tasks(
        [1, 2, 4],
        _task,
        processes=2,
        logs=tmp_path,
        ready=lambda number: True,
        note=lambda number, message: None,
        failed=failures.__setitem__,
    )
    assert sorted(failures) == [1, 2]


@pytest.mark.parametrize("processes", [1, 2])
def test_processes_that_die_take_nothing_with_them(tmp_path: Path, processes: int):
    noted: list[tuple[int, int]] = []
    failures: dict[int, str] = {}
    run_tasks(
        [5, 1, 2, 3, 4],
        _task,
        processes=processes,
        logs=tmp_path,
        ready=lambda number: number < 5,
        note=lambda number, message: noted.append((number, message)),
        failed=failures.__setitem__,
    )
    assert sorted(noted) == [(number, 10 * number) for number in (1, 2, 3, 4)]
    assert sorted(failures) == [1, 2, 5]
    assert "exit code 3" in failures[1]
    assert failures[2] == "ValueError: two"


def _say_threads(number: int, send: Callable[[str], None]) -> None:
    send(os.environ["TFMPQ_THREADS"])


def test_processes_have_their_own_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("TFMPQ_THREADS", raising=False)
    noted: list[str] = []
    begun: list[int] = []
    run_tasks(
        [1],
        _say_threads,
        processes=1,
        logs=tmp_path,
        ready=lambda number: True,
        note=lambda number, message: noted.append(message),
        failed=lambda number, message: noted.append(message),
        started=begun.append,
        environment={"TFMPQ_THREADS": "3"},
    )
    assert (noted, begun) == (["3"], [1])
    assert "TFMPQ_THREADS" not in os.environ


def _tell_and_wait(path: str, send: Callable[[int], None]) -> None:
    Path(path).write_text(str(os.getpid()))
    time.sleep(60)


_PARENT = """
import sys
from pathlib import Path
from typing import Any
sys.path.insert(0, sys.argv[2])
from tests.tfmpq.sweep.test_pool import _tell_and_wait
from tfmpq.sweep import pool
from tfmpq.sweep.pool import run_tasks

if __name__ == "__main__":
    usual = {"logs": Path(sys.argv[1]).parent, "ready": bool, "note": print, "failed": print}
    run_tasks([sys.argv[1]], _tell_and_wait, processes=1, **usual)
"""


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for a process in /proc")
def test_a_worker_whose_parent_is_killed_ends_in_the_middle_of_its_task(tmp_path: Path):
    (tmp_path / "parent.py").write_text(_PARENT)
    told, checkout = tmp_path / "pid", str(Path(__file__).parents[3])
    parent = subprocess.Popen([sys.executable, tmp_path / "parent.py", told, checkout])
    deadline = time.monotonic() + 60  # a process that starts on a busy machine
    while not (told.exists() and told.read_text()) and time.monotonic() < deadline:
        time.sleep(0.05)
    worker = Path("/proc", told.read_text())
    parent.kill()
    parent.wait()
    while worker.exists() and worker.joinpath("stat").read_text().split()[2] != "Z" and time.monotonic() < deadline:
        time.sleep(0.05)
    assert time.monotonic() < deadline
