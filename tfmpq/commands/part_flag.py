"""What ``--part`` says."""

from __future__ import annotations

import re

from tfmpq.commands.command import UsageError


def read_part(text: str) -> tuple[int, int]:
    """``K/N`` as numbers.

    Raises:
        UsageError: It is no part.
    """
    found = re.fullmatch(r"([1-9]\d{0,8})/([1-9]\d{0,8})", text)
    if found is None or int(found[1]) > int(found[2]):
        raise UsageError(f"--part={text}: give K/N with K from 1 to N, such as 3/16")
    return int(found[1]), int(found[2])
