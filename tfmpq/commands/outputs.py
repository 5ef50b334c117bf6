"""Files that a command is asked to write: checked before the work, not after."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from absl.flags import FlagValues

from converters.paths import is_special
from tfmpq.commands.command import UsageError
from tfmpq.commands.results import STDOUT

_MODELS = (".tflite", ".keras", ".h5")
_NO_MODELS = ("json", "html", "model_explorer")


def check_outputs(
    values: FlagValues,
    flags: Sequence[str],
    *,
    sources: Sequence[str],
    beside: Mapping[str | os.PathLike[str], str] = MappingProxyType({}),
) -> None:
    """Finds out now, not after minutes of work, that a result could not be written.

    Args:
        values: the parsed flags.
        flags: names of those that hold a path to write, or None.
        sources: what the command reads, and must not overwrite.
        beside: path of what is written beside what a flag names -> the flag.

    Raises:
        UsageError: A file cannot be written, is a source or lies in one, or is to be written twice.
    """
    taken: dict[str, str] = {}
    for path, flag in beside.items():
        if Path(path).is_dir() or any(_would_harm(os.fspath(path), source) for source in sources):
            raise UsageError(f"'{path}', which is written beside --{flag}, would overwrite what is there")
        other = taken.setdefault(os.path.realpath(path), flag)
        if other != flag:
            raise UsageError(f"'{path}', which is written beside --{flag}, is what --{other} writes")
    for flag in flags:
        path = getattr(values, flag)
        if path is None or (flag == "json" and path == STDOUT):
            continue
        if is_special(path):  # a pipe or /dev/null: what is written there replaces nothing
            if not os.access(path, os.W_OK):
                raise UsageError(f"--{flag}={path} cannot be written")
            continue
        parent = Path(path).absolute().parent
        if not parent.is_dir():
            raise UsageError(f"--{flag}={path}: there is no directory '{parent}'")
        if not path or Path(path).is_dir() or not os.access(parent, os.W_OK):
            raise UsageError(f"--{flag}={path} cannot be written")
        if any(_would_harm(path, source) for source in sources):
            raise UsageError(f"--{flag}={path} would overwrite what is read")
        if flag in _NO_MODELS and Path(path).suffix.lower() in _MODELS:
            prints = ", --json=- prints" if flag == "json" else ""
            raise UsageError(f"--{flag}={path} is what models are called; --{flag}=FILE writes there{prints}")
        other = taken.setdefault(os.path.realpath(path), flag)
        if other != flag:
            raise UsageError(f"--{flag}={path} is what --{other} writes; give each a file of its own")


def _would_harm(path: str, source: str) -> bool:
    """Whether writing ``path`` replaces a source, or a file in a source that is a directory; through links too."""
    if not (Path(path).exists() and Path(source).exists()):
        return False
    return os.path.samefile(path, source) or Path(source).resolve() in Path(path).resolve().parents
