"""Processes that wait for the next task for a while, as each takes a part of a second to start."""

from __future__ import annotations

import atexit
import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Generic, Protocol, TypeVar

_IDLE_SECONDS = 30.0


class Reusable(Protocol):
    """A process that works on one task at a time."""

    @property
    def usable(self) -> bool:
        """Whether it is this process's own and lives."""
        ...

    def close(self) -> None:
        """Ends it."""
        ...


Process = TypeVar("Process", bound=Reusable)


class ProcessPool(Generic[Process]):
    """Processes of one kind, as many as tasks are worked on at a time.

    Args:
        start: starts one.
        seconds: how long one waits for the next task.
    """

    def __init__(self, start: Callable[[], Process], seconds: float = _IDLE_SECONDS) -> None:
        self._start = start
        self._seconds = seconds
        self._idle: list[tuple[Process, threading.Timer]] = []
        atexit.register(self.close)

    @contextlib.contextmanager
    def take(self) -> Iterator[Process]:
        """One that has nothing to do, or a new one; it is ended if an error is raised, as nobody knows what it is at.

        Raises:
            Exception: What ``start`` raises.
        """
        found = None
        while found is None and self._idle:
            with contextlib.suppress(IndexError):  # another thread was faster
                found, ending = self._idle.pop()
                ending.cancel()  # its thread ends at once: many short tasks leave one thread waiting, not one each
            if found is not None and not found.usable:
                found.close()
                found = None
        if found is None:
            found = self._start()
        try:
            yield found
        except BaseException:
            found.close()
            raise
        self._wait(found)

    def _wait(self, process: Process) -> None:
        """Keeps a process for the next task, and ends it if none comes."""

        def retire() -> None:
            with contextlib.suppress(ValueError):  # it was taken in this very moment
                self._idle.remove(entry)
                process.close()

        entry = process, threading.Timer(self._seconds, retire)
        entry[1].daemon = True
        self._idle.append(entry)
        entry[1].start()

    def close(self) -> None:
        """Ends all that have nothing to do."""
        while self._idle:
            process, ending = self._idle.pop()
            ending.cancel()
            process.close()
