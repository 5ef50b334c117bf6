"""Files of samples shared by several tasks, and what each of them has found, put together again."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from converters.errors import DataError
from tfmpq.data.shards.formats import Shards, find_shards


@dataclass(frozen=True)
class Part:
    """What one task has written.

    Attributes:
        path: of the file.
        number, parts: which of how many, from 1.
        of: digest of all that parts of one whole have in common.
    """

    path: str | os.PathLike[str]
    number: int
    parts: int
    of: str


def check_parts(shards: str | os.PathLike[str], part: tuple[int, int]) -> Shards:
    """The files of all parts, once it is known that they can be shared.

    Args:
        shards: a glob.
        part: which of how many, from 1.

    Raises:
        DataError: No file matches, or there are fewer than parts.
    """
    number, parts = part
    found = find_shards(shards)
    if found is None:
        raise DataError(f"'{os.fspath(shards)}' is no glob of files, such as 'shards/*.tar'. Give a quoted one.")
    if not 1 <= number <= parts:
        raise DataError(f"part {number}/{parts} is none; give K/N with K from 1 to N, such as 3/16.")
    if parts > len(found.files):
        raise DataError(
            f"{len(found.files)} files cannot be shared by {parts} parts. Take no more parts than there are files."
        )
    return found


def files_of_part(files: Sequence[Path], part: tuple[int, int]) -> list[tuple[int, Path]]:
    """The files of a part with their numbers among all: every N-th from the K-th on."""
    number, parts = part
    return [(i, path) for i, path in enumerate(files) if i % parts == number - 1]


def files_digest(files: Sequence[Path]) -> str:
    """Of the names and sizes of files, wherever they lie."""
    folder = os.path.commonpath([path.absolute().parent for path in files])
    found = hashlib.sha256()
    for path in files:
        found.update(f"{os.path.relpath(path, folder)} {path.stat().st_size}\n".encode("utf-8", "surrogateescape"))
    return found.hexdigest()


def in_order(found: Sequence[Part], what: str) -> list[Part]:
    """All parts of one whole, by their numbers.

    Args:
        found: in any order.
        what: they are, for messages.

    Raises:
        DataError: There are none, they are of different wholes, or one is missing or there twice.
    """
    if not found:
        raise DataError(f"no file of {what} is given. Give those of all parts.")
    ordered = sorted(found, key=lambda part: part.number)
    first = ordered[0]
    for part in ordered:
        if (part.of, part.parts) != (first.of, first.parts):
            raise DataError(
                f"'{part.path}' is of other samples than '{first.path}', of another network, or one of another number "
                f"of parts. Give parts of one whole."
            )
    numbers = [part.number for part in ordered]
    for number in range(1, first.parts + 1):
        if numbers.count(number) != 1:
            how = "is missing" if number not in numbers else "is there twice"
            raise DataError(f"part {number}/{first.parts} of {what} {how}, beside '{first.path}'. Give each once.")
    return ordered
