"""Models and data that a spec names by URL, as files of this machine."""

from __future__ import annotations

import atexit
import glob
import os
from collections.abc import Mapping
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from typing import Any

from converters.errors import ConversionError
from tfmpq.data.named_files import absolute
from tfmpq.storage import Remote, fetched, is_url, place

PATHS = ("path", "classes")  # of a model
_DATA = ("data", "labelled", "shards", "statistics")  # may be globs or functions too
_ONE = "single objects are read; give the URL of one"


def absolute_paths(fields: Mapping[str, Any], folder: Path) -> dict[str, str]:
    """Those fields of a model that are paths, which are relative to a folder, or URLs."""
    given = {name: fields[name] for name in (*PATHS, *_DATA) if name in fields}
    plain = {name: text if is_url(text) else str(place(text, "a file")) for name, text in given.items()}
    return {
        name: text if is_url(text) else absolute(text, folder) if name in _DATA else os.path.normpath(folder / text)
        for name, text in plain.items()
    }


def missing(path: str) -> str | None:
    """Why there is nothing to read at a path or URL; None: there is."""
    try:
        found = place(path, "a file")
        if isinstance(found, Path):
            return None if found.exists() else f"'{path}' does not exist"
        return f"'{path}' is a folder: of a store {_ONE}" if found.is_folder() else None
    except FileNotFoundError:
        return f"'{path}' does not exist" + (f": globs name no objects, {_ONE}" if glob.has_magic(path) else "")
    except (ConversionError, OSError) as error:  # of a store
        return str(error)


def here(model: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a :class:`tfmpq.sweep.spec.Model`, whose paths all lead to files of this machine.

    Raises:
        OSError: An object is not there, or cannot be read.
    """
    return {
        name: copy_of(value) if name in (*PATHS, *_DATA) and value is not None else value
        for name, value in model.items()
    }


def copy_of(path: str) -> str:
    """A file of this machine with the content of a path or URL: the path itself, or a copy.

    Raises:
        OSError: An object is not there, or cannot be read.
    """
    if not is_url(path):
        return path
    remote = Remote(path)
    return _copy(path, remote.version())


@cache
def _copy(url: str, version: str) -> str:
    """Made once in a process: its jobs read the same."""
    stack = ExitStack()
    atexit.register(stack.close)
    return str(stack.enter_context(fetched(Remote(url))))
