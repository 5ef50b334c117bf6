from __future__ import annotations

import flatbuffers
import numpy as np
import pytest

from converters.errors import FileFormatError
from converters.tflite.tables import Source, Table


@pytest.fixture(scope="module")
def content() -> bytes:
    """A table of: 0 a string, 1 an int32, 2 absent, 3 a float vector, 4 a vector of two tables, 5 a table."""
    builder = flatbuffers.Builder()
    children = []
    for number in (7, -8):
        builder.StartObject(1)
        builder.PrependInt16Slot(0, number, 0)
        children.append(builder.EndObject())
    builder.StartVector(4, 2, 4)
    for child in reversed(children):
        builder.PrependUOffsetTRelative(child)
    vector = builder.EndVector()
    floats = builder.CreateNumpyVector(np.array([0.5, -2], np.float32))
    text = builder.CreateString("naïve")
    builder.StartObject(6)
    builder.PrependUOffsetTRelativeSlot(0, text, 0)
    builder.PrependInt32Slot(1, -123456, 0)
    builder.PrependUOffsetTRelativeSlot(3, floats, 0)
    builder.PrependUOffsetTRelativeSlot(4, vector, 0)
    builder.PrependUOffsetTRelativeSlot(5, children[1], 0)
    builder.Finish(builder.EndObject())
    return bytes(builder.Output())


def root(content: bytes) -> Table:
    return Source(content).root()


def test_reads_what_the_builder_wrote(content):
    table = root(content)
    assert table.text(0) == "naïve"
    assert table.integer(1, "i") == -123456
    np.testing.assert_array_equal(table.array(3, "<f4"), np.array([0.5, -2], np.float32), strict=True)
    assert [child.integer(0, "h") for child in table.tables(4)] == [7, -8]
    child = table.table(5)
    assert child is not None
    assert child.integer(0, "h") == -8


@pytest.mark.parametrize("field", [2, 6, 1000])  # absent, past the end of the field list
def test_absent_fields_read_as_defaults(content, field):
    table = root(content)
    assert (table.integer(field, "i", 5), table.text(field), table.tables(field), table.table(field)) == (
        5,
        "",
        [],
        None,
    )
    assert table.array(field, "<f4").shape == (0,)


def test_every_truncation_is_noticed(content):
    def read_all(data: bytes) -> None:
        table = root(data)
        for read in (lambda: table.text(0), lambda: table.integer(1, "i"), lambda: table.array(3, "<f4")):
            read()
        for child in (table.table(5), *table.tables(4)):
            assert child is not None
            child.integer(0, "h")

    read_all(content)
    for size in range(len(content) - 8):  # the last bytes may be padding behind the string
        with pytest.raises(FileFormatError, match="corrupt"):
            read_all(content[:size])
