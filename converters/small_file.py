"""Reading files that ought to be small, whatever is there."""

from __future__ import annotations

import os
from typing import IO

MAX_BYTES = 4 * 2**20


def read_file(path: str | os.PathLike[str], most: int = MAX_BYTES) -> bytes:
    """The content of a small file, or of a pipe.

    Raises:
        OSError: It cannot be read.
        ValueError: It holds more than ``most`` bytes, or the path holds a NUL.
    """
    with open(path, "rb") as file:
        return read_stream(file, most)


def read_stream(stream: IO[bytes], most: int = MAX_BYTES) -> bytes:
    """What is left in a stream, not more than ``most`` bytes.

    Raises:
        ValueError: There is more.
    """
    content = stream.read(most + 1)
    if len(content) > most:
        raise ValueError(f"it is larger than {most / 2**20:g} MiB")
    return content
