"""Reading flatbuffer tables with nothing but NumPy; every access is bounds-checked, corrupt input a FileFormatError.

Generated schema modules trust the offsets they find and come with TensorFlow or ai-edge-litert; this needs neither.
Format: https://flatbuffers.dev/internals/ (tables, vtables, vectors and strings, all little-endian).
"""

from __future__ import annotations

import struct

import numpy as np

from converters.errors import FileFormatError

_FORMATS = {kind: struct.Struct("<" + kind) for kind in "bBhHiIqQ"}


def unpack(data: bytes, kind: str, position: int) -> int:
    """The little-endian integer of struct format ``kind`` at ``position``."""
    form = _FORMATS[kind]
    if position < 0 or position + form.size > len(data):
        raise FileFormatError(f"byte {position} lies outside the file ({len(data)} bytes): it is cut off or corrupt")
    return form.unpack_from(data, position)[0]


class Table:
    """One flatbuffer table; ``field`` arguments are the field's number in the schema, counted from 0."""

    __slots__ = ("_offsets", "_size", "data", "position")

    def __init__(self, data: bytes, position: int) -> None:
        vtable = position - unpack(data, "i", position)
        size = unpack(data, "H", vtable)
        if size < 4 or size % 2 or vtable + size > len(data):
            raise FileFormatError(f"the table at byte {position} has a broken field list: the file is corrupt")
        self.data, self.position = data, position
        self._size, *self._offsets = struct.unpack_from(f"<{size // 2 - 1}H", data, vtable + 2)

    def has(self, *fields: int) -> bool:
        """Whether the table holds one of the fields."""
        count = len(self._offsets)
        return any([field < count and self._offsets[field] for field in fields])

    def key(self) -> tuple[tuple[int, ...], bytes]:
        """Equal for tables of one type that hold the same numbers; says nothing of what their fields point to."""
        return tuple(self._offsets), self.data[self.position + 4 : self.position + self._size]

    def _locate(self, field: int) -> int | None:
        """Position of the field's value, None if the table does not hold the field."""
        offset = self._offsets[field] if field < len(self._offsets) else 0
        return self.position + offset if offset else None

    def _follow(self, field: int) -> int | None:
        """Position of the table, vector or string that the field points to."""
        at = self._locate(field)
        return None if at is None else at + unpack(self.data, "I", at)

    def integer(self, field: int, kind: str, default: int = 0) -> int:
        """Value of an integer field of struct format ``kind``."""
        at = self._locate(field)
        return default if at is None else unpack(self.data, kind, at)

    def table(self, field: int) -> Table | None:
        """The table a field points to."""
        at = self._follow(field)
        return None if at is None else Table(self.data, at)

    def tables(self, field: int) -> list[Table]:
        """The tables of a vector of tables, [] if absent."""
        at = self._follow(field)
        if at is None:
            return []
        offsets = self._vector(at, np.dtype("<u4"))
        places = offsets + np.arange(at + 4, at + 4 + 4 * len(offsets), 4)
        return [Table(self.data, place) for place in places.tolist()]

    def array(self, field: int, dtype: str) -> np.ndarray:
        """A vector of numbers, as a read-only view into the file; empty if absent."""
        at = self._follow(field)
        return np.empty(0, dtype) if at is None else self._vector(at, np.dtype(dtype))

    def text(self, field: int) -> str:
        """A string, "" if absent."""
        return self.array(field, "u1").tobytes().decode("utf-8", errors="replace")

    def _vector(self, at: int, dtype: np.dtype) -> np.ndarray:
        count = unpack(self.data, "I", at)
        if at + 4 + count * dtype.itemsize > len(self.data):
            raise FileFormatError(
                f"the vector at byte {at} claims {count} elements, more than the file holds ({len(self.data)} bytes): "
                "the file is cut off or corrupt"
            )
        return np.frombuffer(self.data, dtype, count, at + 4)
