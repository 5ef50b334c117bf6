"""Archives behind a model: what may not be read."""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Callable

import pytest

from converters.errors import FileFormatError
from converters.tflite.attachments import append_attachments, read_attachments
from tests.support.file_bombs import peak

MODEL = b"\0\0\0\0TFL3" + bytes(100)


def with_archive(
    members: dict[str, bytes],
    *,
    method: int = zipfile.ZIP_DEFLATED,
    edit: Callable[[bytearray, int, int], None] | None = None,
) -> bytes:
    """``edit`` is given the bytes, and where the first member and its entry in the list start."""
    stream = io.BytesIO(MODEL)
    with zipfile.ZipFile(stream, "a", method) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    content = bytearray(stream.getvalue())
    if edit is not None:
        edit(content, content.find(b"PK\3\4"), content.find(b"PK\1\2"))
    return bytes(content)


def encrypted(content: bytearray, _: int, entry: int) -> None:
    content[entry + 8] |= 1


def of_no_method(content: bytearray, _: int, entry: int) -> None:
    content[entry + 10] = 77


def damaged(content: bytearray, start: int, _: int) -> None:
    content[start + 42 : start + 46] = b"\xff" * 4


def of_another_size(content: bytearray, _: int, entry: int) -> None:
    content[entry + 24 : entry + 28] = (50_000).to_bytes(4, "little")


def named_in_no_text(content: bytearray, _: int, entry: int) -> None:
    content[entry + 9] |= 8  # the name is UTF-8
    content[entry + 46] = 0xFF


def of_a_future_version(content: bytearray, _: int, entry: int) -> None:
    content[entry + 6] = 200


def elsewhere(content: bytearray, _: int, entry: int) -> None:
    content[entry + 42 : entry + 46] = b"\xff\xff\xff\x7f"


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        (encrypted, "'labels.txt' is encrypted"),
        (of_no_method, "method 77"),
        (damaged, "cannot be read"),
        (of_another_size, "has 4000 bytes, not 50000"),
        (named_in_no_text, "cannot be read"),
        (of_a_future_version, "cannot be read"),
        (elsewhere, "cannot be read"),
    ],
)
def test_an_archive_that_cannot_be_read_says_why(edit, reason):
    content = with_archive({"labels.txt": b"cat\ndog\n" * 500}, edit=edit)
    with pytest.raises(FileFormatError, match=rf"associated files.*{reason}.*attach the files again"):
        read_attachments(content)


def test_only_what_is_stored_or_deflated_is_carried():
    with pytest.raises(FileFormatError, match="method 14, not deflated"):
        read_attachments(with_archive({"a": b"b" * 100}, method=zipfile.ZIP_LZMA))
    content = with_archive({"a": b"b" * 100, "c/d": b""}, method=zipfile.ZIP_STORED)
    assert [(info.filename, data) for info, data in read_attachments(content)] == [("a", b"b" * 100), ("c/d", b"")]
    assert append_attachments(MODEL, read_attachments(content)) == content


def test_what_inflates_to_far_more_than_the_file_is_left_alone():
    content = with_archive({"labels.txt": bytes(40 << 20)})
    assert len(content) < 50_000

    def read() -> None:
        with pytest.raises(FileFormatError, match=f"it comes to {40 << 20} bytes"):
            read_attachments(content)

    assert peak(read) < 1e6
    half = {f"{i}.txt": bytes(10 << 20) for i in range(2)}
    with pytest.raises(FileFormatError, match=f"it comes to {20 << 20} bytes"):  # together
        read_attachments(with_archive(half))

    def claims_less(content: bytearray, start: int, entry: int) -> None:
        for place in (start + 22, entry + 24):
            content[place : place + 4] = (400).to_bytes(4, "little")
        for place in (start + 14, entry + 16):
            content[place : place + 4] = zlib.crc32(bytes(400)).to_bytes(4, "little")

    less = with_archive({"labels.txt": bytes(40 << 20)}, edit=claims_less)
    assert peak(lambda: read_attachments(less)) < 1e6


def test_a_list_of_members_that_only_fills_the_memory_is_refused():
    stream = io.BytesIO(MODEL + b"PK\1\2" * 10_001)
    with zipfile.ZipFile(stream, "a") as archive:
        archive.writestr("a", b"")
    with pytest.raises(FileFormatError, match="more than 10000 members"):
        read_attachments(stream.getvalue())


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_members_of_one_name_are_refused():
    stream = io.BytesIO(MODEL)
    with zipfile.ZipFile(stream, "a") as archive:
        archive.writestr("a", b"1")
        archive.writestr("a", b"2")
    with pytest.raises(FileFormatError, match="two of its members have one name"):
        read_attachments(stream.getvalue())
