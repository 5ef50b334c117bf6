"""Jobs in processes of their own: one that fails or dies takes no other with it."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, Generic, TypeVar

Task = TypeVar("Task")
Message = tuple[str, Any]  # ("note", anything the task sends), ("done", None) or ("failed", message)
Execute = Callable[[Any, Callable[[Any], None]], None]


@dataclass
class _Worker(Generic[Task]):
    process: Any
    connection: Connection
    log: Path
    task: Task | None = field(default=None)


def run_tasks(
    tasks: Sequence[Task],
    execute: Callable[[Task, Callable[[Any], None]], None],
    *,
    processes: int,
    logs: Path,
    ready: Callable[[Task], bool],
    note: Callable[[Task, Any], None],
    failed: Callable[[Task, str], None],
    started: Callable[[Task], None] = lambda task: None,
    environment: Mapping[str, str] | None = None,
) -> None:
    """Runs all tasks, the first ready one first. On any exception (an interrupt) all processes are ended.

    Args:
        tasks: picklable.
        execute: a function of a module, picklable: (task, send); what it sends arrives at ``note``.
        processes: at most so many at a time; 0: everything in this process.
        logs: directory for what the processes print.
        ready: whether a task can start. A task that is still not ready when nothing runs any more fails.
        note: told, in this process, what a task sends.
        failed: told of a task that raised or whose process died.
        started: told of a task that is given to a process.
        environment: variables of the processes, beside those of this one.
    """
    waiting = list(tasks)
    if not processes:
        _run_here(waiting, execute, ready=ready, note=note, failed=failed)
        return
    workers: list[_Worker[Task]] = []
    logs.mkdir(parents=True, exist_ok=True)
    try:
        while True:
            for number in range(processes):
                task = next((t for t in waiting if ready(t)), None)
                if task is None:
                    break
                if number == len(workers):
                    workers.append(_start(execute, logs / f"worker_{number}.log", environment))
                elif workers[number].task is None and not workers[number].process.is_alive():  # or it is told of first
                    workers[number] = _start(execute, workers[number].log, environment)
                if workers[number].task is None:
                    waiting.remove(task)
                    workers[number].task = task
                    workers[number].connection.send(task)
                    started(task)
            busy = [w for w in workers if w.task is not None]
            if not busy:
                break
            _listen(busy, note=note, failed=failed)
        for task in waiting:
            failed(task, "what it starts from is missing")
    finally:
        for worker in workers:
            worker.connection.close()
            if worker.task is not None:
                worker.process.terminate()
            worker.process.join(10)


def _run_here(
    waiting: list[Task],
    execute: Callable[[Task, Callable[[Any], None]], None],
    *,
    ready: Callable[[Task], bool],
    note: Callable[[Task, Any], None],
    failed: Callable[[Task, str], None],
) -> None:
    for task in waiting:
        if not ready(task):
            failed(task, "what it starts from is missing")
            continue
        try:
            execute(task, lambda message, task=task: note(task, message))
        except Exception as error:
            failed(task, f"{type(error).__name__}: {error}")


def _start(execute: Execute, log: Path, environment: Mapping[str, str] | None) -> _Worker:
    context = multiprocessing.get_context("spawn")  # TensorFlow does not survive a fork
    ours, theirs = context.Pipe()
    process = context.Process(target=_work, args=(execute, theirs, str(log)), daemon=True)
    with _environment(environment or {}):  # libraries read it while they load, before the process does anything
        process.start()
    theirs.close()
    return _Worker(process, ours, log)


@contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    former = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in former.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _work(execute: Execute, connection: Connection, log: str) -> None:
    """The process: tasks in, messages out, until the other end closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends it
    threading.Thread(target=_end_with_parent, daemon=True).start()
    sys.stdout.flush()
    with open(log, "ab") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    while True:
        try:
            task = connection.recv()
        except EOFError:
            return
        try:
            execute(task, lambda message: connection.send(("note", message)))
            connection.send(("done", None))
        except Exception as error:
            connection.send(("failed", f"{type(error).__name__}: {error}"))


def _end_with_parent() -> None:
    """Ends this process once the parent is gone, killed say: nobody would take what it finds."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _listen(
    busy: list[_Worker[Task]], *, note: Callable[[Task, Any], None], failed: Callable[[Task, str], None]
) -> None:
    """Waits for messages and passes them on."""
    arrived = wait([w.connection for w in busy])
    for worker in busy:
        if worker.connection not in arrived or worker.task is None:
            continue
        try:
            kind, message = worker.connection.recv()
        except (EOFError, ConnectionResetError):
            worker.process.join()
            failed(worker.task, f"its process died (exit code {worker.process.exitcode}); see {worker.log.name}")
            worker.task = None
            continue
        if kind == "note":
            note(worker.task, message)
            continue
        if kind == "failed":
            failed(worker.task, message)
        worker.task = None
