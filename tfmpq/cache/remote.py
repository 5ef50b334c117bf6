"""The cache in a store: entries that are put in full, and copied to be read."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tfmpq.cache.entry import ENTRY_NAME, DamagedError, Entry, header_of, last_used_beyond, read_entry, write_entry
from tfmpq.cache.notes import not_kept, warn
from tfmpq.cache.pickled import NotKeptError, read_pickle, write_pickle
from tfmpq.storage import Remote, fetched, placed

_MARK = "tfmpq.cache"  # what shows that the store can be reached
_START = 1 << 16  # bytes of an entry, which its header is in


@dataclass(frozen=True)
class RemoteStore:
    """A folder of entries in a store, as :class:`tfmpq.cache.store.Store` is one on disk.

    It has no limit: stores do not tell when something was last read, and have rules of their own for what is old.

    Attributes:
        folder: of the entries.
    """

    folder: Remote

    @classmethod
    def open(cls, folder: Remote, *, make: bool = True) -> RemoteStore:
        """The cache in a folder, which need not be there; where it is, it need not be written to.

        Args:
            folder: of the entries.
            make: it, where it is not there, which shows that it can be written to.

        Raises:
            OSError: The store cannot be reached.
        """
        try:
            (folder / _MARK).read_bytes()
        except FileNotFoundError:
            if make:
                (folder / _MARK).write_bytes(b"a cache of tfmpq\n")
        return cls(folder)

    def get(self, key: str, kind: str) -> Any:
        """What is kept under a key; None where nothing is, or nothing whole: that is removed with a warning."""
        path = self.folder / f"{key}.{kind}"
        try:
            with fetched(path) as file:
                return read_entry(file, read_pickle, kind=kind, key=key)
        except FileNotFoundError:
            return None
        except DamagedError as error:
            warn(f"'{path}' is left out and made anew: {error}")
            with contextlib.suppress(OSError):
                path.unlink()
        except OSError as error:  # of the store, which says nothing of the entry
            warn(f"'{path}' is left out: {error}")
        return None

    def put(self, key: str, kind: str, header: Mapping[str, object], value: object) -> None:
        """Keeps a value; where that is not possible, a warning says why."""
        try:
            with placed(self.folder / f"{key}.{kind}") as file:
                write_entry(file, {"kind": kind, **header, "key": key}, lambda stream: write_pickle(value, stream))
        except (NotKeptError, OSError) as error:
            warn(not_kept(error))

    def entries(self) -> list[Entry]:
        """All entries, the last written first."""
        found = []
        for name, size in self.folder.files().items():
            path = self.folder / name
            if ENTRY_NAME.fullmatch(name):
                with contextlib.suppress(FileNotFoundError):  # removed by another process
                    found.append(Entry(path, _header(path, size), size, path.modified()))
        return sorted(found, key=lambda entry: -entry.used)

    def clear(self, max_bytes: int = 0) -> list[Entry]:
        """Removes the entries that were written first, until the others take no more than ``max_bytes``.

        Returns:
            Those that were removed.
        """
        removed = last_used_beyond(max_bytes, self.entries())
        self.folder.remove([entry.path.name for entry in removed])
        return removed


def _header(path: Remote, size: int) -> dict[str, Any]:
    try:
        return header_of(io.BytesIO(path.read_bytes(min(size, _START)) if size else b""))  # S3 has no part of nothing
    except DamagedError:
        return {}
