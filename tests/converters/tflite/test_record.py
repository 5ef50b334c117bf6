"""tfmpq's entry among a file's metadata."""

from __future__ import annotations

import zlib

import pytest

from converters.errors import FileFormatError
from converters.tflite.record import pack_record, unpack_record
from tests.support.file_bombs import peak


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
        (zlib.compress(b'{"a": 1}')[:-3], "it is cut off"),
        (zlib.compress(b" " * 200_000 + b"{}", 9), "it is larger than"),
        (zlib.compress(b'{"a":' + b"[" * 100 + b"]" * 100 + b"}"), "it is nested more than 100 deep"),
        (zlib.compress(b'{"a": NaN}'), "it holds NaN, which is no number of JSON"),
        (zlib.compress(b'{"a": [-1e999]}'), "it holds the number -1e999, which is not finite"),
        (zlib.compress(b'{"a": ' + b"1" * 5000 + b"}"), "cannot be read"),
        (zlib.compress(b'{"a": "\\ud800"}'), "surrogates not allowed"),
        (zlib.compress(b'{"\\udfff": 1}'), "surrogates not allowed"),
    ],
)
def test_damage_is_an_error(entry: bytes, message: str):
    with pytest.raises(FileFormatError, match=message):
        unpack_record(entry)


def test_a_note_of_many_layers_reads_back():
    layers = {f"block{i}/depthwise": [4, "radix", "compact", i, 0] for i in range(20_000)}  # 1 MB, 0.1 MB deflated
    assert unpack_record(pack_record({"layers": layers}))["layers"] == layers


def test_memory_is_in_proportion_to_the_entry():
    entry = zlib.compress(b'{"a":[' + b"[]," * 2_000_000 + b"[]]}", 9)  # 6 kB that stand for 6 MB and 150 MB of lists

    def read() -> None:
        with pytest.raises(FileFormatError, match="it is larger than"):
            unpack_record(entry)

    assert peak(read) < 5e6
