"""Keeps the converter's debugging output off the terminal."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterable, Iterator
from typing import IO

# What the converter prints on success: MLIR's quantizer settings, absl's information and warnings, notes on temporary
# files. Everything else, also what other threads print meanwhile, is passed on.
_CHATTER = re.compile(
    rb"fully_quantize: |INFO:tensorflow:|INFO:absl:"
    rb"|WARNING: All log messages before absl::InitializeLog|WARNING:absl:Importing a function"
    rb"|[IW]\d{4} [\d:. ]+\S+:\d+\]"
    rb"|E\d{4} .*(NodeDef mentions attribute|failed call to cuInit|meta_optimizer.*failed)"  # it can do without
    rb"|\d{4}-\d\d-\d\d [\d:.]+: [IW] "
)
# How MLIR states what it does not accept, with or without a place: loc("name"): error: 'op' op ...
_ERROR = re.compile(rb"^(?:loc\((?P<place>.*?)\): )?(?:<unknown>:0: )?error: (?P<what>.+)")
# Waits for a line; where there is none as the pipe is closed, shows both files and removes them.
_WATCH = 'read -r _ || { cat "$0"; cat "$1" >&2; rm -f "$0" "$1"; }'
_lock = threading.Lock()


@contextlib.contextmanager
def quiet() -> Iterator[list[str]]:
    """Holds back what is written to file descriptors 1 and 2 and drops the known chatter; on an error shows all.

    Does nothing where another thread is already doing it or the process has no such descriptors.

    Yields:
        A list that holds MLIR's own errors, where there was an error, once this is left: exceptions do not carry them.
    """
    errors: list[str] = []
    if not _lock.acquire(blocking=False):
        yield errors
        return
    try:
        with contextlib.ExitStack() as stack:
            with contextlib.suppress(OSError):
                held = {n: stack.enter_context(tempfile.NamedTemporaryFile()) for n in (1, 2)}
                stack.enter_context(_shown_at_death(held[1].name, held[2].name))
                for descriptor, file in held.items():
                    stack.enter_context(_held_back(descriptor, file, errors))
            yield errors
    finally:
        _lock.release()


@contextlib.contextmanager
def _shown_at_death(out: str, err: str) -> Iterator[None]:
    """Has another process show the files should this one be killed or crash: faulthandler, too, writes into them."""
    try:
        # In a session of its own it is not what a signal to the terminal's programs ends.
        watcher = subprocess.Popen(["sh", "-c", _WATCH, out, err], stdin=subprocess.PIPE, start_new_session=True)
    except OSError:  # no such shell
        yield
        return
    try:
        yield
    finally:
        watcher.communicate(b"done\n")


@contextlib.contextmanager
def _held_back(descriptor: int, held: IO[bytes], errors: list[str]) -> Iterator[None]:
    original = os.dup(descriptor)
    try:
        _flush()
        os.dup2(held.fileno(), descriptor)
        failed = True
        try:
            yield
            failed = False
        finally:
            _flush()
            os.dup2(original, descriptor)
            held.seek(0)
            errors += show(held, descriptor, failed=failed)
    finally:
        os.close(original)


def is_chatter(line: bytes) -> bool:
    """Whether a line is none that a user needs to see."""
    return _CHATTER.match(line) is not None


def show(lines: Iterable[bytes], descriptor: int, *, failed: bool) -> list[str]:
    """Writes what was held back; all of it where there was an error.

    Returns:
        MLIR's own errors in it, where there was an error.
    """
    errors = []
    for line in lines:
        if failed or not is_chatter(line):
            os.write(descriptor, line)
        if failed and (said := _ERROR.match(line)):
            place = b"" if said["place"] is None else b" (at " + said["place"] + b")"
            errors.append((said["what"] + place).decode(errors="replace"))
    return errors


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):  # closed or replaced streams
            stream.flush()
