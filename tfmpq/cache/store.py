"""The folder of the cache: entries by key, made only for its owner, never larger than a limit."""

from __future__ import annotations

import contextlib
import os
import re
import stat
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from converters.errors import OptionError
from converters.paths import path_text
from tfmpq.cache.entry import ENTRY_NAME, DamagedError, Entry, last_used_beyond, read_entry, read_header, write_entry
from tfmpq.cache.notes import not_kept, warn
from tfmpq.cache.pickled import NotKeptError, read_pickle, write_pickle
from tfmpq.text import quantity

MAX_BYTES = 20 << 30
_TEMPORARY = re.compile(rf"\.{ENTRY_NAME.pattern}\.[0-9a-f]{{8}}\.tmp")
_FORGOTTEN = 86400.0  # seconds after which nobody writes to a temporary file any more


def default_folder() -> Path:
    """``tfmpq`` in ``$XDG_CACHE_HOME``, or in ``~/.cache``."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(base) if os.path.isabs(base) else Path.home() / ".cache") / "tfmpq"  # relative ones are to be ignored


@dataclass(frozen=True)
class Store:
    """A folder of entries.

    Several processes may use it at once: an entry is written beside its place and renamed, and whoever reads one that
    another process removes keeps what it has opened.

    Attributes:
        folder: made when the first entry is written, for its owner alone.
        max_bytes: of all entries; those that nobody has read for longest go first.
    """

    folder: Path
    max_bytes: int = MAX_BYTES

    @classmethod
    def open(cls, path: str | os.PathLike[str], max_bytes: int = MAX_BYTES) -> Store:
        """The store in a folder, which need not exist.

        Raises:
            OptionError: It is no folder, or others may write to it: whoever can decides what is read from it.
        """
        text = path_text(path, "a cache folder")
        if not text:
            raise OptionError("cache='' is no folder. Give the path of one, or of one to be made.")
        try:
            folder = Path(text).expanduser()
        except RuntimeError as error:  # there is no such user
            raise OptionError(f"cache='{text}' is no folder: {error} Give another path.") from error
        store = cls(folder, max_bytes)
        store.check()
        return store

    def check(self) -> None:
        """Refuses what is no folder, and one that others may write to.

        Raises:
            OptionError: See :meth:`open`.
        """
        try:
            found = os.stat(self.folder)
        except (FileNotFoundError, PermissionError):
            return  # made, or told, when something is to be kept
        except OSError as error:
            raise OptionError(f"cache='{self.folder}' is no folder: {error.strerror}. Give another path.") from error
        if not stat.S_ISDIR(found.st_mode):
            raise OptionError(f"cache='{self.folder}' is no folder. Give the path of one, or of one to be made.")
        if os.name != "posix":  # where these bits say nothing
            return
        if found.st_uid not in (os.geteuid(), 0):
            raise OptionError(
                f"cache='{self.folder}' belongs to another user, who decides what it holds. Give one of yours."
            )
        if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise OptionError(
                f"cache='{self.folder}' can be written to by others, who would decide what is read from it: chmod "
                f"go-w '{self.folder}', or give another folder."
            )

    def get(self, key: str, kind: str) -> Any:
        """What is kept under a key; None where nothing is, or nothing whole: that is removed with a warning."""
        path = self._path(key, kind)
        try:
            found = read_entry(path, read_pickle, kind=kind, key=key)
        except FileNotFoundError:
            return None
        except (DamagedError, OSError) as error:
            warn(f"'{path}' is left out and made anew: {error}")
            with contextlib.suppress(OSError):
                path.unlink()
            return None
        with contextlib.suppress(OSError):  # of a disk that is only read from
            os.utime(path)
        return found

    def put(self, key: str, kind: str, header: Mapping[str, object], value: object) -> None:
        """Keeps a value; where that is not possible, a warning says why."""
        path = self._path(key, kind)
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.check()
            write_entry(path, {"kind": kind, **header, "key": key}, lambda stream: write_pickle(value, stream))
            self._make_room(path)
        except (NotKeptError, OSError, OptionError) as error:
            warn(not_kept(error))

    def entries(self) -> list[Entry]:
        """All entries, the last used first."""
        found = []
        for path in self._files(ENTRY_NAME):
            with contextlib.suppress(FileNotFoundError):  # removed by another process
                about = path.lstat()
                if not stat.S_ISREG(about.st_mode):
                    continue
                try:
                    header = read_header(path)
                except DamagedError:
                    header = {}
                found.append(Entry(path, header, about.st_size, about.st_mtime))
        return sorted(found, key=lambda entry: -entry.used)

    def clear(self, max_bytes: int = 0) -> list[Entry]:
        """Removes entries that nobody has read for longest, until the others take no more than ``max_bytes``.

        Nothing but entries and what is left of them is removed.

        Returns:
            Those that were removed.
        """
        removed = last_used_beyond(max_bytes, self.entries())
        for entry in removed:
            entry.path.unlink(missing_ok=True)
        for path in self._files(_TEMPORARY):  # of processes that were ended
            with contextlib.suppress(OSError):
                if time.time() - path.stat().st_mtime > _FORGOTTEN:
                    path.unlink()
        return removed

    def _make_room(self, newest: Path) -> None:
        if any(entry.path == newest for entry in self.clear(self.max_bytes)):
            warn(f"nothing is kept of this conversion: it takes more than the cache's {quantity(self.max_bytes, 'B')}")

    def _files(self, name: re.Pattern[str]) -> Iterator[Path]:
        try:
            names = os.listdir(self.folder)
        except FileNotFoundError:
            names = []
        return (self.folder / n for n in sorted(names) if name.fullmatch(n))

    def _path(self, key: str, kind: str) -> Path:
        return self.folder / f"{key}.{kind}"
