"""Entries are read only if they are as they were written."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from tfmpq.cache.entry import MAGIC, DamagedError, read_entry, read_header, write_entry

CONTENT = bytes(range(256)) * 20


def written(path: Path) -> bytes:
    write_entry(path, {"model": "a"}, lambda stream: [stream.write(part) for part in (CONTENT[:99], CONTENT[99:])])
    return path.read_bytes()


def read(path: Path) -> Any:
    return read_entry(path, lambda stream: stream.read(len(CONTENT)))


def test_content_and_header_come_back(tmp_path: Path):
    written(tmp_path / "entry")
    assert read(tmp_path / "entry") == CONTENT
    assert read_header(tmp_path / "entry") == {"model": "a"}
    assert os.listdir(tmp_path) == ["entry"]


@pytest.mark.parametrize("kept", [0, 5, len(MAGIC), len(MAGIC) + 5, 300, -33, -32, -1])
def test_a_truncated_entry(tmp_path: Path, kept: int):
    content = written(tmp_path / "entry")
    (tmp_path / "entry").write_bytes(content[:kept])
    with pytest.raises(DamagedError, match=r"another format|cut off"):
        read(tmp_path / "entry")


@pytest.mark.parametrize("place", [0, len(MAGIC) - 2, len(MAGIC) + 3, 200, -40, -1])
def test_a_changed_byte(tmp_path: Path, place: int):
    content = bytearray(written(tmp_path / "entry"))
    content[place] ^= 1
    (tmp_path / "entry").write_bytes(content)
    with pytest.raises(DamagedError):
        read(tmp_path / "entry")


def test_more_than_was_written(tmp_path: Path):
    content = written(tmp_path / "entry")
    (tmp_path / "entry").write_bytes(content + b"\0")
    with pytest.raises(DamagedError, match="was changed"):
        read(tmp_path / "entry")


def test_an_older_format(tmp_path: Path):
    content = written(tmp_path / "entry")
    (tmp_path / "entry").write_bytes(content.replace(b"cache 1", b"cache 0", 1))
    with pytest.raises(DamagedError, match="another format"):
        read_header(tmp_path / "entry")


def test_content_that_its_reader_refuses(tmp_path: Path):
    written(tmp_path / "entry")
    with pytest.raises(DamagedError, match="ZeroDivisionError"):
        read_entry(tmp_path / "entry", lambda stream: 1 // 0)


def test_an_error_while_writing_leaves_what_was_there(tmp_path: Path):
    written(tmp_path / "entry")
    with pytest.raises(ZeroDivisionError):
        write_entry(tmp_path / "entry", {}, lambda stream: 1 // 0)
    assert read(tmp_path / "entry") == CONTENT
    assert os.listdir(tmp_path) == ["entry"]


def test_a_header_that_is_nested_too_deeply(tmp_path: Path):
    (tmp_path / "entry").write_bytes(MAGIC + b"[" * 200_000 + b"\n")
    with pytest.raises(DamagedError, match="header"):
        read_header(tmp_path / "entry")


def test_a_pipe_is_not_waited_for(tmp_path: Path):
    os.mkfifo(tmp_path / "entry")
    with pytest.raises(DamagedError, match="no file"):
        read_header(tmp_path / "entry")
