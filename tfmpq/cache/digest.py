"""A digest of plain values: equal for values that are equal in every bit, in all processes."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import struct
from collections.abc import Mapping
from enum import Enum
from typing import Any

import numpy as np

_SIZE = 20


class NoDigestError(Exception):
    """A value whose meaning its parts do not tell, such as a function."""


class Digest:
    """Takes values one after the other."""

    def __init__(self) -> None:
        self._hash = hashlib.blake2b(digest_size=_SIZE)

    def add(self, value: Any) -> None:
        """Adds a value: numbers, text, bytes, arrays, paths, and containers and dataclasses of these.

        Raises:
            NoDigestError: It holds something else.
        """
        if isinstance(value, Enum):
            self._add("enum", type(value).__qualname__, value.name)
        elif value is None or isinstance(value, (bool, int)):
            self._piece(type(value).__name__, repr(value).encode())
        elif isinstance(value, float):
            self._piece("float", struct.pack("<d", value))
        elif isinstance(value, (bytes, bytearray, memoryview)):
            self._piece("bytes", value)
        elif isinstance(value, (str, os.PathLike)):
            self._piece("str", os.fspath(value).encode("utf-8", "surrogatepass"))
        elif isinstance(value, np.dtype):
            self._piece("dtype", value.str.encode())
        elif isinstance(value, (np.ndarray, np.generic)):
            self._add_array(np.asarray(value))
        elif isinstance(value, Mapping):
            self._add("mapping", *(part for entry in value.items() for part in entry))
        elif isinstance(value, (tuple, list)):
            self._add("sequence", *value)
        elif isinstance(value, frozenset):
            self._add("set", *sorted(value))
        elif dataclasses.is_dataclass(value) and not isinstance(value, type):
            fields = (part for f in dataclasses.fields(value) for part in (f.name, getattr(value, f.name)))
            self._add(type(value).__qualname__, *fields)
        else:
            raise NoDigestError(f"a {type(value).__qualname__}")

    def hexdigest(self) -> str:
        """Of all that was added."""
        return self._hash.hexdigest()

    def _add(self, kind: str, *parts: Any) -> None:
        self._piece(kind, str(len(parts)).encode())
        for part in parts:
            self.add(part)

    def _add_array(self, array: np.ndarray) -> None:
        if array.dtype.hasobject:
            raise NoDigestError("an array of objects")
        self._piece(
            f"array {array.dtype.str} {array.shape}", np.ascontiguousarray(array).reshape(-1).view(np.uint8).data
        )

    def _piece(self, kind: str, content: bytes | bytearray | memoryview) -> None:
        size = content.nbytes if isinstance(content, memoryview) else len(content)
        self._hash.update(f"{kind} {size}:".encode())
        self._hash.update(content)


def digest_of(*values: Any) -> str:
    """The digest of some values.

    Raises:
        NoDigestError: See :meth:`Digest.add`.
    """
    found = Digest()
    found.add(values)
    return found.hexdigest()
