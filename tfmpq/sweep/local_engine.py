"""The engine of one machine: processes of their own, each with its share of the threads."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from converters.runtime.memory import available_memory
from tfmpq.sweep.jobs import failed, job_after
from tfmpq.sweep.plan import Group
from tfmpq.sweep.pool import run_tasks
from tfmpq.threads import thread_limits

DIED = "ProcessDied"  # the type of the error of a job whose process was ended
_MEMORY = 2 << 30  # bytes that a process may well take: TensorFlow's converter and a network

Plain = dict[str, Any]


@dataclass
class Task:
    """A job for another process.

    Attributes:
        spec: of the job.
        after: the keys of jobs that must be done first.
        former: what they returned.
    """

    spec: Plain
    after: Sequence[str] = ()
    former: list[Plain] = field(default_factory=list)


def run_local(
    groups: Sequence[Group],
    note: Callable[[Plain], None],
    *,
    started: Callable[[Plain], None],
    processes: int | None,
    threads: int | None,
    logs: Path,
) -> None:
    """Runs all jobs.

    Args:
        groups: of the jobs.
        note: told what every job returned.
        started: told of every job that begins.
        processes: at most so many at a time; None: what processors and memory allow. 0: all in this process.
        threads: of each process; None: 1.
        logs: folder for what the processes print.
    """
    each = threads or 1
    count = _processes(each) if processes is None else processes
    tasks: list[Task] = []
    collecting: set[str] = set()
    for group in groups:
        parts = [part["key"] for part in group.collect]
        tasks += [Task(part) for part in group.collect if part["key"] not in collecting]
        collecting.update(parts)
        tasks += [Task(group.prepare, parts), *(Task(row, [group.prepare["key"]]) for row in group.rows)]

    def noted(task: Task, result: Plain) -> None:
        for other in tasks:
            if task.spec["key"] in other.after:
                other.former.append(result)
        note(result)

    def died(task: Task, message: str) -> None:
        noted(task, failed(task.spec, {"type": DIED, "message": message}))

    run_tasks(
        tasks,
        _execute,
        processes=count,
        logs=logs,
        ready=lambda task: len(task.former) == len(task.after),
        note=noted,
        failed=died,
        started=lambda task: started(task.spec),
        environment=thread_limits(each),
    )


def _execute(task: Task, send: Callable[[Plain], None]) -> None:
    send(job_after(task.spec, *task.former))


def _processes(threads: int) -> int:
    available = available_memory()
    most = (os.cpu_count() or 1) // threads
    return max(1, most if available is None else min(most, available // _MEMORY))
