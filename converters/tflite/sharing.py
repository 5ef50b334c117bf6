"""Flatbuffer builders that write what is equal once: vectors, strings and tables may be referred to from many places.

Readers follow offsets and do not ask who else does; the verifier of the C++ library and readers that unpack everything
take it as well. Nothing that is shared may be edited in place, which nobody does with a .tflite file that is in use.
"""

from __future__ import annotations

from typing import Any

import flatbuffers
import numpy as np


class VectorSharing(flatbuffers.Builder):
    """Writes equal arrays once: most zero points are rows of zeros, 5 % of a file of 4-bit weights.

    Single numbers are always written: the size of a file must not depend on the values of an activation's scale.
    The app's own expander does the same, so that what both make of a file is equal byte for byte.
    """

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self.known: dict[object, int] = {}

    def CreateNumpyVector(self, x: np.ndarray) -> int:  # noqa: N802, D102 (the library's name)
        if x.size == 1:
            return super().CreateNumpyVector(x)
        return self._once((x.dtype.str, x.tobytes()), lambda: super(VectorSharing, self).CreateNumpyVector(x))

    def _once(self, key: object, write: Any) -> int:
        if key not in self.known:
            self.known[key] = write()
        return self.known[key]


class TableSharing(VectorSharing):
    """Writes equal tables, strings and shapes once too.

    A table is written and taken back if there is one like it: the same numbers in the same fields, and offsets to the
    same places. Of what type it is does not matter: a reader sees nothing but its fields.
    """

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self._start = 0  # where the table at hand begins, in bytes from the end
        self._fields: list[tuple[int, object]] = []  # what it holds: number of the field, and its value or place

    def CreateNumpyVector(self, x: np.ndarray) -> int:  # noqa: N802, D102 (the library's name)
        if x.dtype != np.int32:
            return super().CreateNumpyVector(x)
        # Shapes follow from the network, and no value of a scale or zero point has this type.
        return self._once((x.dtype.str, x.tobytes()), lambda: flatbuffers.Builder.CreateNumpyVector(self, x))

    def CreateString(self, s: str | bytes, encoding: str = "utf-8", errors: str = "strict") -> int:  # noqa: N802, D102
        text = s.encode(encoding, errors) if isinstance(s, str) else s
        return self._once(("string", text), lambda: flatbuffers.Builder.CreateString(self, text))

    def StartObject(self, numfields: int) -> None:  # noqa: N802, D102
        self._start, self._fields = self.Offset(), []
        super().StartObject(numfields)

    def PrependSlot(self, flags: Any, o: int, x: Any, d: Any) -> None:  # noqa: N802, D102
        if x != d:
            self._fields.append((o, flags.packer_type.pack(x)))  # as bytes: an axis of 1 is no beta of 1.0
        super().PrependSlot(flags, o, x, d)

    def PrependUOffsetTRelativeSlot(self, o: int, x: int, d: int) -> None:  # noqa: N802, D102
        if x != d:
            self._fields.append((o, x))
        super().PrependUOffsetTRelativeSlot(o, x, d)

    def EndObject(self) -> int:  # noqa: N802, D102
        key = ("table", tuple(self._fields))
        if key not in self.known:
            self.known[key] = super().EndObject()
            return self.known[key]
        self.head = len(self.Bytes) - self._start  # what was written of it is written over
        self.nested, self.current_vtable = False, None
        return self.known[key]
