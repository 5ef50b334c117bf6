"""The cache, on disk or in a store."""

from __future__ import annotations

import os

from tfmpq.cache.remote import RemoteStore
from tfmpq.cache.store import Store
from tfmpq.storage import Remote, place

AnyStore = Store | RemoteStore


def open_store(path: str | os.PathLike[str], *, make: bool = True) -> AnyStore:
    """The cache in a folder, by its path or URL.

    Args:
        path: of the folder, which need not exist.
        make: it in a store, where it is not there yet; on disk it is made with the first entry.

    Raises:
        OptionError: See :meth:`tfmpq.cache.store.Store.open`; or it is no URL of a store.
        MissingDependencyError: A package for the store is missing.
        OSError: The store cannot be reached.
    """
    if path == "":
        return Store.open(path)
    folder = place(path, "a cache folder")
    return RemoteStore.open(folder, make=make) if isinstance(folder, Remote) else Store.open(folder)
