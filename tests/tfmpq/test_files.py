from __future__ import annotations

import os

import pytest

from converters.errors import DataError
from tfmpq.files import read_npz, write_atomic


def test_replaces_the_content_and_keeps_permissions(tmp_path):
    path = tmp_path / "model.tflite"
    write_atomic(path, b"old and longer")
    path.chmod(0o604)
    write_atomic(str(path), b"new")
    assert path.read_bytes() == b"new"
    assert path.stat().st_mode & 0o777 == 0o604
    assert os.listdir(tmp_path) == ["model.tflite"]


def test_a_new_file_gets_the_usual_permissions(tmp_path):
    (tmp_path / "plain").write_bytes(b"")
    write_atomic(tmp_path / "atomic", b"")
    assert (tmp_path / "atomic").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_writes_through_a_symbolic_link(tmp_path):
    (tmp_path / "real").write_bytes(b"old")
    (tmp_path / "link").symlink_to("real")
    write_atomic(tmp_path / "link", b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_bytes() == b"new"


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_failure_leaves_the_old_file_and_no_litter(tmp_path, monkeypatch, step):
    path = tmp_path / "model.tflite"
    path.write_bytes(b"old")

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, step, fail)
    with pytest.raises(OSError, match="No space left"):
        write_atomic(path, b"new")
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["model.tflite"]


def test_a_missing_directory_and_a_directory_are_errors(tmp_path):
    with pytest.raises(FileNotFoundError, match="absent"):
        write_atomic(tmp_path / "absent" / "model.tflite", b"")
    with pytest.raises(IsADirectoryError, match=str(tmp_path)):
        write_atomic(tmp_path, b"")


@pytest.mark.parametrize("content", [b"", b"junk", b"\x80\x04N."])  # the last is a pickle
def test_a_file_that_is_no_npz_is_called_that_without_advice_to_unpickle_it(tmp_path, content: bytes):
    (tmp_path / "data.npz").write_bytes(content)
    with pytest.raises(DataError, match=r"is no \.npz of plain arrays: .*[^.]\. Write it with np\.savez") as error:
        read_npz(tmp_path / "data.npz")
    assert "pickle" not in str(error.value)
