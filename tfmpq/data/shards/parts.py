"""Files of samples shared by several tasks."""

from __future__ import annotations

import os

from converters.errors import DataError
from tfmpq.data.shards.formats import Shards, find_shards


def check_parts(shards: str | os.PathLike[str], part: tuple[int, int]) -> Shards:
    """The files of all parts, once it is known that they can be shared: file number i is for part ``i % parts + 1``.

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
