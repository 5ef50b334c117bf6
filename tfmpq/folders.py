"""What lies below a folder."""

from __future__ import annotations

import os
from pathlib import Path


def files_below(folder: Path) -> tuple[list[Path], list[Path]]:
    """All files below a folder, those behind links to folders too, which ``Path.rglob`` passes over.

    Returns:
        The files in order, and the folders that were not looked into, as a link had led there before: in a circle,
        maybe.

    Raises:
        OSError: A folder cannot be read.
    """
    files: list[Path] = []
    again: list[Path] = []
    seen: set[str] = set()
    for name, folders, names in os.walk(folder, onerror=_raise, followlinks=True):
        real = os.path.realpath(name)
        if real in seen:
            again.append(Path(name))
            folders.clear()
            continue
        seen.add(real)
        files += [Path(name, file) for file in names]
    return sorted(files), sorted(again)


def _raise(error: OSError) -> None:
    raise error
