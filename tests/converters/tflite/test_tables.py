from __future__ import annotations

import flatbuffers
import numpy as np
import pytest

from converters.errors import FileFormatError
from converters.tflite.tables import Source, Table
from tests.support.file_bombs import peak


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


# ---------------------------------------------------------------- many offsets to one place


def sharing(tables: int, size: int) -> bytes:
    """A table of: 0 as many tables that all hold one string and one vector of ``size`` bytes each."""
    builder = flatbuffers.Builder()
    text = builder.CreateString("x" * size)
    numbers = builder.CreateNumpyVector(np.zeros(size // 4, np.int32))
    children = []
    for _ in range(tables):
        builder.StartObject(2)
        builder.PrependUOffsetTRelativeSlot(0, text, 0)
        builder.PrependUOffsetTRelativeSlot(1, numbers, 0)
        children.append(builder.EndObject())
    builder.StartVector(4, tables, 4)
    for child in children:
        builder.PrependUOffsetTRelative(child)
    vector = builder.EndVector()
    builder.StartObject(1)
    builder.PrependUOffsetTRelativeSlot(0, vector, 0)
    builder.Finish(builder.EndObject())
    return bytes(builder.Output())


@pytest.mark.parametrize(
    "read", [lambda table: table.text(0), lambda table: table.integers(1)], ids=["text", "numbers"]
)
def test_what_many_tables_share_is_not_copied_without_end(read):
    content = sharing(1000, 20_000)  # 60 kB that stand for 20 MB

    def read_all() -> None:
        tables = root(content).tables(0)
        with pytest.raises(FileFormatError, match=f"come to many times its {len(content)} bytes"):
            [read(table) for table in tables]

    assert peak(read_all) < 40 * len(content)
    for table in root(sharing(10, 100)).tables(0):  # names and shapes that a few share are common
        read(table)


def test_no_more_tables_than_the_file_can_hold():
    content = sharing(100, 4)
    table = root(content)
    with pytest.raises(FileFormatError, match="more tables than a file of"):
        [table.tables(0) for _ in range(len(content) // 400 + 2)]


def test_no_name_is_huge_and_every_name_is_text(content):
    with pytest.raises(FileFormatError, match="a name has 70000 bytes"):
        root(sharing(1, 70_000)).tables(0)[0].text(0)
    with pytest.raises(FileFormatError, match=r"the name 'na\\xff\\xc0\\x80e' is no UTF-8"):
        root(content.replace("naïve".encode(), b"na\xff\xc0\x80e")).text(0)


def test_a_field_list_longer_than_any_of_the_schema_is_broken():
    builder = flatbuffers.Builder()
    builder.StartObject(30)
    builder.PrependInt32Slot(29, 1, 0)
    builder.Finish(builder.EndObject())
    with pytest.raises(FileFormatError, match="broken field list"):
        root(bytes(builder.Output()))
