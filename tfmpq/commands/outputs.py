"""Files that a command is asked to write: checked before the work, not after."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from absl.flags import FlagValues

from tfmpq.commands.command import UsageError
from tfmpq.commands.results import STDOUT


def check_outputs(values: FlagValues, flags: Sequence[str], *, sources: Sequence[str]) -> None:
    """Finds out now, not after minutes of work, that a result could not be written.

    Args:
        values: the parsed flags.
        flags: names of those that hold a path to write, or None.
        sources: what the command reads, and must not overwrite.

    Raises:
        UsageError: A file cannot be written, or is a source.
    """
    for flag in flags:
        path = getattr(values, flag)
        if path is None or (flag == "json" and path == STDOUT):
            continue
        parent = Path(path).absolute().parent
        if not parent.is_dir():
            raise UsageError(f"--{flag}={path}: there is no directory '{parent}'")
        if Path(path).is_dir() or not os.access(parent, os.W_OK):
            raise UsageError(f"--{flag}={path} cannot be written")
        if any(Path(path).exists() and Path(source).exists() and os.path.samefile(path, source) for source in sources):
            raise UsageError(f"--{flag}={path} would overwrite what is read")
