"""Paths of .tflite files that are no such files: said at once, not read to an end that may never come."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from converters.errors import FileFormatError
from converters.runtime.content import read_content


def test_pipes_and_devices_are_not_read(tmp_path: Path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", "/dev/zero"):
        with pytest.raises(FileFormatError, match="is a device, a pipe or a socket"):
            read_content(path)


def test_more_than_the_memory_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "model.tflite"
    path.write_bytes(bytes(100))
    monkeypatch.setattr("converters.runtime.content.available_memory", lambda: 99)
    with pytest.raises(FileFormatError, match="GiB of memory are free"):
        read_content(path)
    monkeypatch.setattr("converters.runtime.content.available_memory", lambda: None)
    assert read_content(path) == (bytes(100), f"file '{path}'")
