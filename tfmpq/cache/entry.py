"""A file of the cache: what it is, who may find it, its content, and a digest of all of that.

One line says that it is such a file, and of which format; one of JSON is the header; then comes the content, and at the
end the SHA-256 of everything before, 32 bytes.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from tfmpq.files import replaced
from tfmpq.storage import Place

MAGIC = b"tfmpq cache 1\n"  # the number is that of the format
ENTRY_NAME = re.compile(r"[0-9a-f]{40}\.(prepared|model)")  # key and kind
_DIGEST = hashlib.sha256().digest_size
_MOST_HEADER = 1 << 20
_CHUNK = 1 << 20


class DamagedError(Exception):
    """A file that is no whole entry of this format; says what is wrong with it."""


@dataclass(frozen=True)
class Entry:
    """An entry as it is listed.

    Attributes:
        path: its file.
        header: what it says of itself; {} where that cannot be read.
        bytes: size of the file.
        used: seconds since the epoch when it was last read or written.
    """

    path: Place
    header: Mapping[str, Any]
    bytes: int
    used: float


class _Hashed:
    """Writes to a file, and hashes what it writes."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream, self.hash = stream, hashlib.sha256()

    def write(self, content: Any) -> int:
        self.hash.update(content)
        return self._stream.write(content)


def last_used_beyond(max_bytes: int, entries: Sequence[Entry]) -> list[Entry]:
    """Those that have to go for the others to take no more than ``max_bytes``.

    Args:
        max_bytes: of the others.
        entries: the last used first.
    """
    total, found = 0, []
    for entry in entries:
        total += entry.bytes
        if total > max_bytes:
            found.append(entry)
    return found


def write_entry(path: Path, header: Mapping[str, object], write: Callable[[Any], object]) -> None:
    """Writes an entry in full or not at all.

    Args:
        path: of the file.
        header: plain data.
        write: writes the content to a stream that can do no more than that.

    Raises:
        OSError: It cannot be written.
    """
    with replaced(path) as stream:
        hashed = _Hashed(stream)
        hashed.write(MAGIC + json.dumps(header).encode() + b"\n")
        write(hashed)
        stream.write(hashed.hash.digest())


def read_entry(path: Path, read: Callable[[IO[bytes]], Any], **named: str) -> Any:
    """The content of an entry, which is only looked at once the digest is known to be right.

    Args:
        path: of the file.
        read: reads the content from a stream.
        **named: what its header has to say.

    Raises:
        DamagedError: It is not whole, not of this format, another one than its name says, or cannot be read by
            ``read``.
        OSError: There is no such file, or it cannot be read.
    """
    with _opened(path) as stream:
        header = header_of(stream)
        start = stream.tell()
        _check_digest(stream)
        if any(header.get(name) != value for name, value in named.items()):
            raise DamagedError("it was written under another name")
        stream.seek(start)
        try:
            return read(stream)
        except Exception as error:  # a pickle raises whatever it leads to
            raise DamagedError(f"its content cannot be read: {type(error).__name__}: {error}") from error


def read_header(path: Path) -> dict[str, Any]:
    """What an entry says of itself; its content is not looked at.

    Raises:
        DamagedError: It is no entry of this format.
        OSError: See :func:`read_entry`.
    """
    with _opened(path) as stream:
        return header_of(stream)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    """Does not wait for the other end of a pipe."""
    with open(path, "rb", opener=lambda name, flags: os.open(name, flags | getattr(os, "O_NONBLOCK", 0))) as stream:
        if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
            raise DamagedError("it is no file")
        yield stream


def header_of(stream: IO[bytes]) -> dict[str, Any]:
    """The same of the start of an entry, which holds all of the header."""
    if stream.read(len(MAGIC)) != MAGIC:
        raise DamagedError("it is of another format")
    line = stream.readline(_MOST_HEADER)
    try:
        header = json.loads(line) if line.endswith(b"\n") else None
    except (ValueError, RecursionError):
        header = None
    if not isinstance(header, dict):
        raise DamagedError("its header is cut off or damaged")
    return header


def _check_digest(stream: IO[bytes]) -> None:
    left = os.fstat(stream.fileno()).st_size - _DIGEST
    stream.seek(0)
    found = hashlib.sha256()
    while left > 0 and (chunk := stream.read(min(_CHUNK, left))):
        found.update(chunk)
        left -= len(chunk)
    if stream.read() != found.digest():
        raise DamagedError("it is cut off, or was changed")
