"""One sweep at a time in a folder: a lock that ends with the process that holds it, however that ends."""

from __future__ import annotations

import contextlib
import getpass
import json
import os
import platform
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from converters.errors import MissingDependencyError, OptionError
from tfmpq.storage import Place

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
    with contextlib.ExitStack() as stack:
        try:
            file = stack.enter_context(held_file(folder / LOCK))
        except BlockingIOError as error:
            raise another(folder, owner_in(folder / LOCK)) from error
        file.truncate(0)
        file.write(json.dumps(this_owner()).encode())
        yield


@contextlib.contextmanager
def held_file(path: Path) -> Iterator[IO[bytes]]:
    """A file that no other process holds meanwhile, made if need be.

    Raises:
        BlockingIOError: Another does.
        MissingDependencyError: The system has no such locks.
    """
    try:
        import fcntl
    except ImportError as error:
        raise MissingDependencyError("sweeps lock files as Linux and macOS do: run it there.") from error
    with open(path, "a+b", buffering=0) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise BlockingIOError(error.errno, "it is held", str(path)) from error
        yield file


def another(folder: Place, owner: Mapping[str, Any]) -> OptionError:
    """What is said where another sweep holds a folder.

    Args:
        folder: of both.
        owner: as :func:`this_owner` has it there; {} where that is not known.
    """
    try:
        who = f"of {owner['user']} on {owner['host']} (process {owner['pid']}), since {owner['since']}"
    except (KeyError, TypeError):  # it has just begun
        who = "whose owner is not known yet"
    return OptionError(
        f"another sweep is running in '{folder}', {who}: wait for it, end it, or give another --output_dir."
    )


def this_owner() -> dict[str, Any]:
    """Who holds what this process holds."""
    return {"user": _user(), "host": platform.node(), "pid": os.getpid(), "since": time.strftime("%F %T %z")}


def owner_in(file: Place) -> Any:
    """Who a lock says that it is held by; {} where it says nothing."""
    try:
        return json.loads(file.read_bytes())
    except (OSError, ValueError):
        return {}


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):  # a number without a name
        return str(os.getuid())
