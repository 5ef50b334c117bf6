from __future__ import annotations

import errno
import io
import os
import stat
import subprocess
import sys
import threading
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from converters.errors import DataError, OptionError
from tfmpq import files
from tfmpq.files import read_npy, read_npz, write_atomic


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


def test_a_pipe_is_written_to_and_stays(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("pipe")
    content, read = os.urandom(200_000), []  # more than a pipe holds
    reader = threading.Thread(target=lambda: read.append((tmp_path / "pipe").read_bytes()))
    reader.start()
    write_atomic(tmp_path / "link", content)
    reader.join(10)
    assert read == [content]
    assert (tmp_path / "pipe").is_fifo()
    assert sorted(os.listdir(tmp_path)) == ["link", "pipe"]


def test_a_pipe_whose_reader_leaves_is_an_error(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    reader = threading.Thread(target=lambda: open(tmp_path / "pipe", "rb").close())
    reader.start()
    with pytest.raises(OSError, match="whoever read from it has stopped") as error:
        write_atomic(tmp_path / "pipe", bytes(10**6))
    assert error.value.errno != errno.EPIPE  # which would pass for a reader of stdout who has seen enough


def test_devices(tmp_path, monkeypatch):
    before = os.stat("/dev/null")
    write_atomic("/dev/null", b"content")
    assert (os.stat("/dev/null").st_ino, os.stat("/dev/null").st_rdev) == (before.st_ino, before.st_rdev)
    (tmp_path / "disk").write_bytes(b"partitions")
    real = os.stat(tmp_path / "disk")
    disk = os.stat_result((stat.S_IFBLK | 0o600, *real[1:]))
    monkeypatch.setattr(files.os, "stat", lambda path, **_: disk)
    with pytest.raises(OSError, match="is a disk, which is not written to"):
        write_atomic(tmp_path / "disk", b"content")
    assert (tmp_path / "disk").read_bytes() == b"partitions"


@pytest.mark.parametrize("name", ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"])
def test_standard_output_that_is_a_file_keeps_what_it_has(name: str, tmp_path):
    code = f"from tfmpq.files import write_atomic; print('a'); write_atomic({name!r}, b'b'); print('c')"
    with open(tmp_path / "out", "wb") as out:
        subprocess.run([sys.executable, "-c", code], stdout=out, check=True, env={**os.environ, "PYTHONPATH": "."})
    assert (tmp_path / "out").read_bytes() == b"a\nbc\n"


@pytest.mark.parametrize("path", [3, None, b"model", "a\0b", ["model"]])
def test_what_is_no_path(path: Any):
    with pytest.raises(OptionError, match="is no path of a file to write"):
        write_atomic(path, b"")


def npy(array: np.ndarray, header: tuple[str, str] = ("", "")) -> bytes:
    """An .npy file; a part of its header may be replaced by text of the same length."""
    file = io.BytesIO()
    np.save(file, array, allow_pickle=True)
    return file.getvalue().replace(header[0].encode(), header[1].encode(), 1)


ODD = [
    (npy(np.zeros((2, 3), np.float32), ("(2, 3)", "(9, 3)")), "needs 108 bytes, and 24 are there"),
    (npy(np.zeros((22, 3), np.float32), ("(22, 3)", "(-2, 3)")), r"shape \(-2, 3\)"),
    (npy(np.zeros((2, 3), np.float32))[:-1], "needs 24 bytes, and 23 are there"),
    (npy(np.array([None, 1])), "only plain numbers"),
    (npy(np.zeros(2, [("a", "f4"), ("b", "i4")])), "only plain numbers"),
    (npy(np.zeros(2), ("}", "(")), "."),
    (b"\x93NUMPY\x02\x00\xff\xff\xff\xff", "."),
]


@pytest.mark.parametrize(("content", "reason"), ODD)
def test_odd_arrays(content: bytes, reason: str, tmp_path):
    (tmp_path / "a.npy").write_bytes(content)
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("x.npy", content)
    for read, name in ((read_npy, "a.npy"), (read_npz, "a.npz")):
        with pytest.raises(DataError, match=rf"{name}' is no .*{reason}"):
            read(tmp_path / name)


def test_forms_of_arrays(tmp_path):
    array = np.arange(6, dtype=">f4").reshape(2, 3)
    forms = {"big": array, "empty": np.zeros((0, 3)), "point": array[0, 0]}
    forms["fortran"] = np.asfortranarray(array.astype("<f4"))
    np.savez_compressed(tmp_path / "a.npz", **forms)
    for name, read in read_npz(tmp_path / "a.npz").items():
        np.testing.assert_array_equal(read, forms[name])
        assert read.dtype.isnative
        assert read.flags.c_contiguous
        np.save(tmp_path / "a.npy", forms[name])
        np.testing.assert_array_equal(read_npy(tmp_path / "a.npy"), forms[name])


def test_odd_members(tmp_path, monkeypatch):
    def refused(reason: str, *members: tuple[str, bytes]) -> None:
        with zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_DEFLATED) as archive:
            for member in members:
                archive.writestr(*member)
        with pytest.raises(DataError, match=rf"a\.npz' is no \.npz of plain arrays: .*{reason}"):
            read_npz(tmp_path / "a.npz")

    array = npy(np.zeros((1000, 1000), np.float32))
    with pytest.warns(UserWarning, match="Duplicate name"):
        refused("holds the array 'x.npy' twice", ("x.npy", array), ("x.npy", array))
    refused("member 'a.txt' is no array", ("a.txt", b""))
    monkeypatch.setattr(files, "available_memory", lambda: 7 * 10**6)
    refused("its arrays take 0.0 GiB and 0.0 GiB of memory are free", ("x.npy", array))


def test_pipes_are_not_waited_for(tmp_path: Path):
    os.mkfifo(tmp_path / "a.npz")
    with pytest.raises(DataError, match="is a pipe or a device"):
        read_npz(tmp_path / "a.npz")
