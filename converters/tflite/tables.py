"""Reading flatbuffer tables with nothing but NumPy; every access is bounds-checked, corrupt input a FileFormatError.

Generated schema modules trust the offsets they find and come with TensorFlow or ai-edge-litert; this needs neither.
Format: https://flatbuffers.dev/internals/ (tables, vtables, vectors and strings, all little-endian).

Offsets of any number may lead to one place, so that a few kilobytes can stand for billions of tables: :class:`Source`
counts what is read, and refuses a file that comes to more than its size can honestly hold.
"""

from __future__ import annotations

import struct

import numpy as np

from converters.errors import FileFormatError

_FORMATS = {kind: struct.Struct("<" + kind) for kind in "bBhHiIqQ"}
# Visits of tables and operands. Files take 15 bytes for each where constants are few (an unrolled recurrent layer).
_BYTES_A_VISIT = 8
_MOST_VISITS = 1 << 20  # a tensor becomes about a kilobyte of objects
_MOST_FIELDS = 24  # the schema's largest table has 17
_MOST_TEXT = 1 << 16  # bytes of a name, as in the app
# In sizes of the file. Zeros, shapes and names are shared by many tables, all of it by the graphs of a language model.
_COPIES = 2
_USES = 64
_SLACK = 1 << 16  # bytes that any file may come to


def unpack(data: bytes, kind: str, position: int) -> int:
    """The little-endian integer of struct format ``kind`` at ``position``."""
    form = _FORMATS[kind]
    if position < 0 or position + form.size > len(data):
        raise FileFormatError(f"byte {position} lies outside the file ({len(data)} bytes): it is cut off or corrupt")
    return form.unpack_from(data, position)[0]


class Source:
    """The bytes of a file, and how much may still be read out of them."""

    __slots__ = ("_copies", "_fields", "_uses", "_visits", "data")

    def __init__(self, data: bytes) -> None:
        self.data = data
        self._fields: dict[int, tuple[int, ...]] = {}
        self._visits = min(len(data) // _BYTES_A_VISIT + 256, _MOST_VISITS)
        self._copies = _COPIES * len(data) + _SLACK
        self._uses = _USES * len(data) + _SLACK

    def root(self) -> Table:
        """The table that the file begins with."""
        self.visit(1)
        return Table(self, unpack(self.data, "I", 0))

    def visit(self, tables: int) -> None:
        """Counts tables that are about to be read."""
        self._visits -= tables
        if self._visits < 0:
            raise FileFormatError(
                f"its offsets lead to more tables than a file of {len(self.data)} bytes can hold: the file is corrupt"
            )

    def copy(self, size: int) -> None:
        """Counts bytes that are about to become objects of their own."""
        self._copies -= size
        if self._copies < 0:
            raise self._endless()

    def use(self, size: int) -> None:
        """Counts bytes that stay where they are and will be gone through."""
        self._uses -= size
        if self._uses < 0:
            raise self._endless()

    def _endless(self) -> FileFormatError:
        return FileFormatError(
            f"its parts overlap and come to many times its {len(self.data)} bytes: the file is corrupt"
        )

    def fields(self, vtable: int) -> tuple[int, ...] | None:
        """Size of the tables with this field list, then the offset of every field, 0 if absent; None if broken."""
        known = self._fields.get(vtable)
        if known is None:
            size = unpack(self.data, "H", vtable)
            if size < 4 or size % 2 or size > 4 + 2 * _MOST_FIELDS or vtable + size > len(self.data):
                return None
            known = self._fields[vtable] = struct.unpack_from(f"<{size // 2 - 1}H", self.data, vtable + 2)
        return known


class Table:
    """One flatbuffer table; ``field`` arguments are the field's number in the schema, counted from 0.

    Whoever makes one has counted it: see :meth:`Source.visit`.
    """

    __slots__ = ("_fields", "position", "source")

    def __init__(self, source: Source, position: int) -> None:
        fields = source.fields(position - unpack(source.data, "i", position))
        if fields is None:
            raise FileFormatError(f"the table at byte {position} has a broken field list: the file is corrupt")
        self.source, self.position, self._fields = source, position, fields

    def has(self, *fields: int) -> bool:
        """Whether the table holds one of the fields."""
        count = len(self._fields) - 1
        return any([field < count and self._fields[field + 1] for field in fields])

    def key(self) -> tuple[tuple[int, ...], bytes]:
        """Equal for tables of one type that hold the same numbers; says nothing of what their fields point to."""
        size = min(self._fields[0], 8 * _MOST_FIELDS)
        return self._fields, self.source.data[self.position + 4 : self.position + size]

    def _locate(self, field: int) -> int | None:
        """Position of the field's value, None if the table does not hold the field."""
        offset = self._fields[field + 1] if field + 1 < len(self._fields) else 0
        return self.position + offset if offset else None

    def _follow(self, field: int) -> int | None:
        """Position of the table, vector or string that the field points to."""
        at = self._locate(field)
        return None if at is None else at + unpack(self.source.data, "I", at)

    def integer(self, field: int, kind: str, default: int = 0) -> int:
        """Value of an integer field of struct format ``kind``."""
        at = self._locate(field)
        return default if at is None else unpack(self.source.data, kind, at)

    def table(self, field: int) -> Table | None:
        """The table a field points to."""
        at = self._follow(field)
        if at is None:
            return None
        self.source.visit(1)
        return Table(self.source, at)

    def tables(self, field: int) -> list[Table]:
        """The tables of a vector of tables, [] if absent."""
        at = self._follow(field)
        if at is None:
            return []
        offsets = self._vector(at, np.dtype("<u4"))
        self.source.visit(len(offsets))
        places = offsets + np.arange(at + 4, at + 4 + 4 * len(offsets), 4)
        return [Table(self.source, place) for place in places.tolist()]

    def array(self, field: int, dtype: str) -> np.ndarray:
        """A vector of numbers, as a read-only view into the file; empty if absent."""
        at = self._follow(field)
        return np.empty(0, dtype) if at is None else self._vector(at, np.dtype(dtype))

    def span(self, field: int) -> tuple[int, int]:
        """(start, size) of a vector of bytes, (0, 0) if absent."""
        at = self._follow(field)
        return (0, 0) if at is None else (at + 4, self._vector(at, np.dtype("u1")).size)

    def integers(self, field: int) -> tuple[int, ...]:
        """A vector of int32, () if absent."""
        found = self.array(field, "<i4")
        self.source.copy(found.nbytes)
        return tuple(found.tolist())

    def text(self, field: int) -> str:
        """A string, "" if absent."""
        found = self.array(field, "u1")
        if len(found) > _MOST_TEXT:
            raise FileFormatError(f"a name has {len(found)} bytes, more than {_MOST_TEXT}: the file is corrupt")
        self.source.copy(found.nbytes)
        try:
            return found.tobytes().decode()
        except UnicodeDecodeError as error:
            shown = found.tobytes()[:60].decode(errors="backslashreplace")
            raise FileFormatError(f"the name '{shown}' is no UTF-8: the file is corrupt") from error

    def _vector(self, at: int, dtype: np.dtype) -> np.ndarray:
        count = unpack(self.source.data, "I", at)
        if at + 4 + count * dtype.itemsize > len(self.source.data):
            raise FileFormatError(
                f"the vector at byte {at} claims {count} elements, more than the file holds "
                f"({len(self.source.data)} bytes): the file is cut off or corrupt"
            )
        return np.frombuffer(self.source.data, dtype, count, at + 4)
