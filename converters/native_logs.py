"""Keeps what TensorFlow, its converter and the runtimes say about themselves off the terminal."""

from __future__ import annotations

import contextlib
import io
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
    rb"|INFO: (Created|Initialized) TensorFlow Lite"  # by the interpreter
    rb"|To enable the following instructions: .*rebuild TensorFlow"  # a note's second line
    rb"|E\d{4} .*(NodeDef mentions attribute|failed call to cuInit|meta_optimizer.*failed)"  # it can do without
    rb"|\d{4}-\d\d-\d\d [\d:.]+: [IW] "
)
# How MLIR states what it does not accept, with or without a place: loc("name"): error: 'op' op ...
_ERROR = re.compile(rb"^(?:loc\((?P<place>.*?)\): )?(?:<unknown>:0: )?error: (?P<what>.+)")
# Waits for a line; where there is none as the pipe is closed, shows both files and removes them.
_WATCH = 'read -r _ || { cat "$0"; cat "$1" >&2; rm -f "$0" "$1"; }'
# The same at the end of a process's stderr. What is no whole line is shown as soon as it is there.
_FILTER = """
import os, re, signal, sys
signal.signal(signal.SIGINT, signal.SIG_IGN)
chatter, begun = re.compile(os.fsencode(sys.argv[1])), b""
while piece := os.read(0, 65536):
    *lines, begun = (begun + piece).split(b"\\n")
    os.write(1, b"".join(line + b"\\n" for line in lines if not chatter.match(line)))
os.write(1, begun)
"""
_END = 0.2  # seconds to wait for the last lines; children that still run may keep the pipe open
_STDERR = 2
_lock = threading.Lock()
_direct: list[int] = []  # descriptors of stderr that nothing is dropped from


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
                held = {n: stack.enter_context(tempfile.NamedTemporaryFile()) for n in (1, 2, *_direct)}
                stack.enter_context(_shown_at_death(held[1].name, held[2].name))
                for descriptor, file in held.items():
                    stack.enter_context(_held_back(descriptor, file, errors))
            yield errors
    finally:
        _lock.release()


@contextlib.contextmanager
def without_chatter() -> Iterator[None]:
    """Drops known chatter from what native code and child processes write to stderr as long as a program runs.

    Python's own ``sys.stderr`` keeps the terminal, with its bars. What is dropped, and what is not, does not depend on
    this process living on: another one reads the pipe. Does nothing where ``sys.stderr`` is not the process's own, or
    no process can be started.
    """
    usual = sys.stderr
    try:
        if usual is not sys.__stderr__ or usual.fileno() != _STDERR:
            raise OSError
        usual.flush()
        terminal = os.dup(_STDERR)
        command = [sys.executable, "-I", "-S", "-c", _FILTER, _CHATTER.pattern.decode()]
        reader = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=terminal)
    except (OSError, ValueError, AttributeError):
        yield
        return
    assert reader.stdin is not None
    os.dup2(reader.stdin.fileno(), _STDERR)
    reader.stdin.close()
    file = io.FileIO(terminal, "w", closefd=False)
    sys.stderr = io.TextIOWrapper(
        io.BufferedWriter(file), encoding=usual.encoding, errors=usual.errors, line_buffering=True
    )
    _direct.append(terminal)
    try:
        yield
    finally:
        _flush()
        _direct.remove(terminal)
        os.dup2(terminal, _STDERR)
        sys.stderr = usual
        os.close(terminal)
        with contextlib.suppress(subprocess.TimeoutExpired):
            reader.wait(_END)


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
