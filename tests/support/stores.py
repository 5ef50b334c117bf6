"""A store in memory that fails when it is told to."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

pytest.importorskip("fsspec")

import fsspec
from fsspec.implementations.memory import MemoryFileSystem


class Gone(BaseException):
    """The process has been killed: nothing of it acts on the store any more."""


class OddStore(MemoryFileSystem):
    """``odd://``: what is put is told to a function first, and once more when it is there."""

    protocol = "odd"
    store: dict[str, Any] = {}  # noqa: RUF012 (as its base has it)
    pseudo_dirs = [""]  # noqa: RUF012
    cachable = False
    watch: Callable[[str, bool], None]

    @classmethod
    def _strip_protocol(cls, path: Any) -> str:
        return super()._strip_protocol(path.replace("odd://", "memory://"))

    def pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **kwargs: Any) -> None:
        OddStore.watch(path, False)
        super().pipe_file(path, value, mode=mode, **kwargs)
        OddStore.watch(path, True)

    def put_file(self, lpath: str, rpath: str, **kwargs: Any) -> None:
        with open(lpath, "rb") as file:
            self.pipe_file(self._strip_protocol(rpath), file.read())

    def cat_file(self, path: str, start: int | None = None, end: int | None = None, **kwargs: Any) -> bytes:
        OddStore.watch(path, False)
        return super().cat_file(path, start=start, end=end, **kwargs)

    def get_file(self, rpath: str, lpath: str, **kwargs: Any) -> None:
        OddStore.watch(rpath, False)
        super().get_file(rpath, lpath, **kwargs)


@contextmanager
def odd_store(watch: Callable[[str, bool], None] = lambda path, there: None) -> Iterator[None]:
    """The store ``odd://``, empty; ``watch`` may raise."""
    fsspec.register_implementation("odd", OddStore, clobber=True)
    OddStore.store.clear()
    OddStore.pseudo_dirs[:] = [""]
    OddStore.watch = staticmethod(watch)
    yield


@contextmanager
def memory_store() -> Iterator[None]:
    """The store ``memory://``, empty before and after."""
    MemoryFileSystem.store.clear()
    MemoryFileSystem.pseudo_dirs[:] = [""]
    yield
    MemoryFileSystem.store.clear()
    MemoryFileSystem.pseudo_dirs[:] = [""]
