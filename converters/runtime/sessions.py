"""Python processes of one's own: what they are started with, how they are ended, and what their end is called."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from pathlib import Path
from typing import Any


def child_environment() -> dict[str, str]:
    """Environment of a Python process that imports these same packages, installed or not."""
    root = str(Path(__file__).resolve().parents[2])
    search = os.pathsep.join([root, *filter(None, [os.environ.get("PYTHONPATH")])])
    # The working directory is the user's: a file there may be called as a module that is needed (Python 3.11 or later).
    return {**os.environ, "PYTHONPATH": search, "PYTHONSAFEPATH": "1"}


def end_session(child: subprocess.Popen[Any]) -> None:
    """Kills a process that still runs, with whatever it started in the session of its own."""
    if child.poll() is not None:  # its number may be another's by now
        return
    if hasattr(os, "killpg"):
        os.killpg(child.pid, signal.SIGKILL)
    else:  # Windows
        child.kill()
    child.wait()


class OwnProcess:
    """A process in a session of its own that works for this one over pipes, until it is closed.

    Args:
        process: started with ``stdin`` and ``stdout`` as pipes and ``start_new_session=True``.
    """

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self.process, self.requests, self.answers = process, process.stdin, process.stdout
        self._owner = os.getpid()

    def close(self) -> None:
        """Ends it, with whatever it started."""
        for stream in (self.requests, self.answers):
            with contextlib.suppress(OSError):
                stream.close()
        if self._owner == os.getpid():  # else it serves the process that this one was forked from
            end_session(self.process)

    @property
    def usable(self) -> bool:
        """Whether it is this process's own and lives."""
        return self._owner == os.getpid() and self.process.poll() is None


def status_name(code: int) -> str:
    """An exit status in words."""
    if code < 0 and -code in signal.valid_signals():
        return signal.Signals(-code).name
    return f"exit status {code}"
