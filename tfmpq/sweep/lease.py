"""One sweep at a time in a folder of a store, which has no locks.

A lock is an object with a number, ``sweep.lock/00000001.json``, which only one process can create; the highest is the
one that counts. Its owner writes a count into it every few seconds. Whoever finds that it does not change for a minute
by its own clock, or that the owner was a process of this machine and has ended, creates the next. No two clocks are
compared. A number is never used again, so that nobody removes a lock that has just been taken.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import re
import secrets
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from converters.errors import OptionError
from tfmpq.storage import Remote
from tfmpq.sweep.lock import LOCK, another, held_file, owner_in, this_owner

_BEAT = 10.0  # seconds from count to count
_PATIENCE = 60.0  # seconds without a new count, after which an owner counts as gone
_LOOK = 1.0  # seconds
_NAME = re.compile(r"\d{8}\.json")
_TOKEN = re.compile(r"[0-9a-f]{16}")


@contextlib.contextmanager
def leased(folder: Remote) -> Iterator[Callable[[], None]]:
    """Holds the folder.

    Yields:
        A function that raises OptionError once another sweep has taken over: this one could not reach the store for
        long, or was suspended.

    Raises:
        OptionError: Another sweep holds it; the message names its owner.
        OSError: The store cannot be written to.
    """
    locks = folder / LOCK
    mine = locks / f"{_free_number(folder):08}.json"
    about = {**this_owner(), "token": secrets.token_hex(8)}
    with _alive(about["token"]):
        try:
            mine.create(json.dumps(about).encode())
        except FileExistsError as error:
            raise another(folder, owner_in(mine)) from error
        locks.remove([name for name in _names(locks) if name < mine.name])
        lost, ended = threading.Event(), threading.Event()
        beating = threading.Thread(target=_beat, args=(mine, about, lost, ended), daemon=True)
        beating.start()

        def check() -> None:
            if lost.is_set():
                raise OptionError(
                    f"another sweep has taken over '{folder}', as this one gave no sign of life for {_PATIENCE:.0f} "
                    "seconds: the other goes on with what is there."
                )

        try:
            yield check
        finally:
            ended.set()
            beating.join()
            if not lost.is_set():
                with contextlib.suppress(OSError):  # it will be found to be over
                    mine.write_bytes(json.dumps({**about, "over": True}).encode())


def _free_number(folder: Remote) -> int:
    """The number of the next lock, once it is sure that nobody holds the last one."""
    locks, begun, first = folder / LOCK, time.monotonic(), None
    while names := _names(locks):
        last = locks / names[-1]
        owner = owner_in(last)
        owner = owner if isinstance(owner, dict) else {}
        lives = _lives_here(owner.get("token"))
        first = first or (last, owner)
        if lives or (lives is None and not owner.get("over") and (last, owner) != first):
            raise another(folder, owner)
        if owner.get("over") or lives is False or time.monotonic() - begun > _PATIENCE:
            return int(last.stem) + 1
        time.sleep(_LOOK)
    return 1


def _names(locks: Remote) -> list[str]:
    return sorted(name for name in locks.files() if _NAME.fullmatch(name))


def _beat(mine: Remote, about: Mapping[str, Any], lost: threading.Event, ended: threading.Event) -> None:
    for count in itertools.count(1):
        if ended.wait(_BEAT):
            return
        with contextlib.suppress(OSError):  # the store may be there again next time
            if _names(mine.parent)[-1:] > [mine.name]:
                lost.set()
                return
            mine.write_bytes(json.dumps({**about, "count": count}).encode())


@contextlib.contextmanager
def _alive(token: str) -> Iterator[None]:
    """What tells other processes of this machine that this one lives."""
    path = _sign(token)
    with held_file(path):
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


def _lives_here(token: object) -> bool | None:
    """Whether the owner of a lock is a process of this machine that lives; None: it was none of this machine."""
    if not isinstance(token, str) or not _TOKEN.fullmatch(token) or not _sign(token).exists():
        return None
    try:
        with held_file(_sign(token)):
            _sign(token).unlink(missing_ok=True)
            return False
    except BlockingIOError:
        return True
    except OSError:  # another user's
        return None


def _sign(token: str) -> Path:
    return Path(tempfile.gettempdir(), f"tfmpq-sweep-{token}.lock")
