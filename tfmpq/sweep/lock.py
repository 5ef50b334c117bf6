"""One sweep at a time in a folder: a lock that ends with the process that holds it, however that ends."""

from __future__ import annotations

import contextlib
import getpass
import json
import os
import platform
import time
from collections.abc import Iterator
from pathlib import Path

from converters.errors import MissingDependencyError, OptionError

LOCK = "sweep.lock"  # stays in the folder: what is locked is the open file


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Holds the folder.

    Args:
        folder: that exists.

    Raises:
        OptionError: Another sweep holds it; the message names its owner.
        MissingDependencyError: The system has no such locks.
    """
    try:
        import fcntl
    except ImportError as error:
        raise MissingDependencyError("sweeps lock files as Linux and macOS do: run it there.") from error
    with open(folder / LOCK, "a+b", buffering=0) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise OptionError(
                f"another sweep is running in '{folder}', {_owner(folder)}: wait for it, end it, or give another "
                "--output_dir."
            ) from error
        about = {"user": _user(), "host": platform.node(), "pid": os.getpid(), "since": time.strftime("%F %T %z")}
        file.truncate(0)
        file.write(json.dumps(about).encode())
        yield


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):  # a number without a name
        return str(os.getuid())


def _owner(folder: Path) -> str:
    try:
        about = json.loads((folder / LOCK).read_bytes())
        return f"of {about['user']} on {about['host']} (process {about['pid']}), since {about['since']}"
    except (OSError, ValueError, KeyError, TypeError):  # it has just begun
        return "whose owner is not known yet"
