"""The files that a name of data stands for."""

from __future__ import annotations

import glob
import os
from pathlib import Path

from tfmpq.data.named_function import function_name
from tfmpq.data.shards.formats import find_shards


def files_of(text: str | os.PathLike[str]) -> list[Path]:
    """What is read of a file, a directory (which is given as it is), a glob, or a function: the file that it is in.

    Raises:
        DataError: No file matches a glob, or there is no file with the function.
    """
    named = function_name(os.fspath(text))
    if named is not None:
        file = named.file()
        return [] if file is None else [file]
    shards = find_shards(text)
    return [Path(text)] if shards is None else list(shards.files)


def absolute(text: str, folder: Path) -> str:
    """A name of data that is relative to ``folder``, from anywhere; that of a module's function is not relative."""
    module, colon, _ = text.rpartition(":")
    if colon and not module.endswith(".py") and function_name(text) is not None:
        return text
    is_glob = glob.has_magic(text) and not (folder / text).exists()
    return os.path.normpath(os.path.join(glob.escape(os.fspath(folder)) if is_glob else folder, text))
