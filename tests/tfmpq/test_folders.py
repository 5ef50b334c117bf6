"""What lies below a folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from tfmpq.folders import files_below


def test_links_are_followed_once(tmp_path: Path):
    (tmp_path / "real").mkdir()
    (tmp_path / "real/x").write_bytes(b"")
    (tmp_path / "top").mkdir()
    (tmp_path / "top/y").write_bytes(b"")
    (tmp_path / "top/first").symlink_to(tmp_path / "real")
    (tmp_path / "top/second").symlink_to(tmp_path / "real")
    (tmp_path / "real/back").symlink_to(tmp_path / "top")
    files, again = files_below(tmp_path / "top")
    assert [file.name for file in files] == ["x", "y"]
    assert {folder.name for folder in again} <= {"first", "second", "back"}
    assert len(again) == 2  # the circle, and the same folder a second time


def test_a_folder_that_is_not_there(tmp_path: Path):
    with pytest.raises(FileNotFoundError):
        files_below(tmp_path / "nothing")
