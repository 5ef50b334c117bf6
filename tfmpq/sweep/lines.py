"""Lines that are added one at a time, each whole or not at all, whenever the process ends.

On disk they are a file that is appended to. In a store, where nothing is, an added line is an object of its own,
``results/KEY.json`` beside ``results.jsonl``, until all lines are written anew.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path

from tfmpq.files import write_atomic
from tfmpq.storage import Place, Remote

_ENDING = ".json"


def read_lines(path: Place) -> bytes:
    """All lines; the last one on disk may be torn, as a process was ended in it."""
    added = b""
    if isinstance(path, Remote):  # first: what goes meanwhile is in the file by then
        folder = _added(path)
        added = b"".join(folder.contents(sorted(folder.files())).values())
    return (path.read_bytes() if path.exists() else b"") + added


def add_line(path: Place, key: str, line: bytes) -> None:
    """Adds a line: on disk when this returns.

    Args:
        path: of the file.
        key: of the line, no other has it.
        line: with its end.

    Raises:
        OSError: The disk is full, say; the file is as it was.
    """
    if isinstance(path, Remote):
        (_added(path) / f"{key}{_ENDING}").write_bytes(line)
        return
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    try:
        before = os.fstat(descriptor).st_size
        try:
            written = os.write(descriptor, line)
            if written < len(line):  # the rest says why
                os.write(descriptor, line[written:])
            os.fsync(descriptor)
        except OSError:
            os.ftruncate(descriptor, before)
            raise
    finally:
        os.close(descriptor)


def write_lines(path: Place, content: bytes, former: Collection[str]) -> None:
    """Writes all lines anew, in full or not at all.

    Args:
        path: of the file.
        content: the lines.
        former: keys of those that were there: in a store, lines that were added by them go, once the file is there.
    """
    if isinstance(path, Path):
        write_atomic(path, content)
        return
    path.write_bytes(content)
    added = _added(path)
    added.remove([name for name in added.files() if name.removesuffix(_ENDING) in former])


def _added(path: Remote) -> Remote:
    return path.parent / path.stem
