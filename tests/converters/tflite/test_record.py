"""tfmpq's entry among a file's metadata."""

from __future__ import annotations

import zlib

import pytest

from converters.errors import FileFormatError
from converters.tflite.record import pack_record, unpack_record


def test_a_record_reads_back():
    record = {"version": "1.0", "layers": {"naïve/conv": [4, "radix", "parallel", 3, 1]}, "recipe": []}
    entry = pack_record(record)
    assert unpack_record(entry) == unpack_record(memoryview(entry)) == record
    assert pack_record(record) == entry


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (b"", "cannot be read"),
        (b"\xff\x00\x01", "cannot be read"),
        (zlib.compress(b"{not json"), "cannot be read"),
        (zlib.compress(b"[" * 100_000), "cannot be read"),
        (zlib.compress(b"[1]"), "no JSON object"),
    ],
)
def test_damage_is_an_error(entry: bytes, message: str):
    with pytest.raises(FileFormatError, match=message):
        unpack_record(entry)
