"""Paths that a caller gives."""

from __future__ import annotations

import os
import stat

from converters.errors import OptionError
from converters.printable import shown

_LONGEST_PATH, _LONGEST_NAME = 4096, 255  # bytes, as of the systems TensorFlow runs on


def path_text(path: object, what: str) -> str:
    """The path as text.

    Args:
        path: what is to be one.
        what: it is for, in messages.

    Raises:
        OptionError: It is neither text nor an ``os.PathLike`` of text, or no file can have that name.
    """
    text = os.fspath(path) if isinstance(path, os.PathLike) else path
    if not isinstance(text, str):
        raise OptionError(f"{shown(path)} is no path of {what}. Give text or a pathlib.Path.")
    try:
        name = os.fsencode(text)
        possible = b"\0" not in name and len(name) < _LONGEST_PATH and max(map(len, name.split(b"/"))) <= _LONGEST_NAME
    except UnicodeEncodeError:
        possible = False
    if not possible:
        raise OptionError(f"{shown(text)} is no path of {what}: no file can have that name.")
    return text


def is_special(path: str | os.PathLike[str]) -> bool:
    """Whether there is something at ``path``, through links, that is neither a file nor a directory."""
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError):
        return False
    return not stat.S_ISREG(mode) and not stat.S_ISDIR(mode)
