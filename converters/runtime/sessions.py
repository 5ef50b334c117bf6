"""Python processes of one's own: what they are started with, how they are ended, and what their end is called."""

from __future__ import annotations

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


def status_name(code: int) -> str:
    """An exit status in words."""
    if code < 0 and -code in signal.valid_signals():
        return signal.Signals(-code).name
    return f"exit status {code}"
