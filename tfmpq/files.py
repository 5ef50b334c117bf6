"""Writing files so that a reader never sees half of one; reading arrays with errors worth reading."""

from __future__ import annotations

import contextlib
import errno
import io
import math
import os
import re
import secrets
import stat
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np

from converters.errors import DataError
from converters.paths import is_special, path_text
from converters.runtime.memory import available_memory


def write_atomic(path: str | os.PathLike[str], content: bytes) -> None:
    """Writes a file in full or not at all: to a new file beside it, flushed to disk, then renamed over it.

    An existing file keeps its permissions; a symbolic link keeps pointing where it does. What is no file is written to
    as it is: a pipe, a terminal, ``/dev/null``, ``/dev/stdout``.

    Raises:
        OSError: The file cannot be written; what was there is untouched.
        OptionError: ``path`` is no path.
    """
    path = path_text(path, "a file to write")
    if is_special(path) or _descriptor(path) is not None:
        _write_through(path, content)
        return
    target = Path(os.path.realpath(path))
    if target.is_dir():  # os.replace would report the temporary name
        raise IsADirectoryError(21, "Is a directory", str(path))
    with replaced(target) as file:
        file.write(content)


@contextlib.contextmanager
def replaced(target: Path) -> Iterator[IO[bytes]]:
    """A new file to write to, beside ``target``; flushed to disk and renamed over it once the context is left.

    Raises:
        OSError: It cannot be written; what was there is untouched, as with any other error.
    """
    temporary = target.with_name(f".{target.name[:_LONGEST]}.{secrets.token_hex(4)}.tmp")
    try:
        # Exclusive creation with the default mode, so that the file gets the permissions any new file would.
        with open(temporary, "xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileNotFoundError):
            os.chmod(temporary, target.stat().st_mode & 0o7777)
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


_LONGEST = 50  # characters of a name that its temporary file keeps: names have 255 bytes
_LINKS = 40  # what Linux follows
_DESCRIPTOR = re.compile(r"/dev/(?P<name>stdout|stderr)|(/dev/fd|/proc/(self|thread-self)/fd)/(?P<number>\d{1,6})")


def _descriptor(path: str | os.PathLike[str]) -> int | None:
    """The number of the open file that a path stands for, as that of ``/dev/stdout`` does; None: it is another path."""
    name = os.path.abspath(path)
    for _ in range(_LINKS):
        if (found := _DESCRIPTOR.fullmatch(name)) is not None:
            return int(found["number"]) if found["number"] else ("stdout", "stderr").index(found["name"]) + 1
        if not os.path.islink(name):
            return None
        name = os.path.abspath(os.path.join(os.path.dirname(name), os.readlink(name)))
    return None


def _write_through(path: str | os.PathLike[str], content: bytes) -> None:
    number = _descriptor(path)
    if number is None and stat.S_ISBLK(os.stat(path).st_mode):
        raise OSError(errno.EINVAL, "is a disk, which is not written to", os.fspath(path))
    sys.stdout.flush()
    # Opened anew, a redirected /dev/stdout would begin at its start again.
    with open(path, "wb", buffering=0) if number is None else open(os.dup(number), "wb", buffering=0) as stream:
        try:
            left = memoryview(content)
            while left:
                left = left[stream.write(left) :]
        except BrokenPipeError as error:  # not as for what is printed, whose reader may have seen enough
            raise OSError(errno.EIO, "whoever read from it has stopped", os.fspath(path)) from error


NPY_MAGIC = b"\x93NUMPY"  # of an .npy file
_HEADERS: dict[tuple[int, int], Callable[[IO[bytes]], Any]] = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}
_SHARE = 0.5  # of the free memory that the arrays of a file may take


def read_npz(
    path: str | os.PathLike[str],
    *,
    start: str = "",
    what: str = "no .npz of plain arrays",
    fix: str = "Write it with np.savez(path, x=...)",
) -> dict[str, np.ndarray]:
    """The arrays of an .npz file, as this machine keeps numbers and in the order of C.

    Args:
        path: of the file.
        start: what the names of those begin with that are read; they come without it.
        what: the file is, in messages, when it cannot be read as one.
        fix: what to do then.

    Raises:
        DataError: The file cannot be read, is no .npz, holds anything but arrays of numbers, or more than fits into the
            memory.
    """
    with _explained(path, what, fix), open(path, "rb") as file:
        magic = file.read(len(NPY_MAGIC))
        if magic == NPY_MAGIC:
            raise ValueError("it holds a single array, as .npy files do")
        if not magic.startswith(b"PK"):
            raise ValueError("it does not begin as .npz files do")
        with zipfile.ZipFile(file) as archive:
            members = [member for member in archive.infolist() if member.filename.startswith(start)]
            _check_members(members)
            names = [member.filename.removesuffix(".npy").removeprefix(start) for member in members]
            return {name: _read_member(archive, member) for name, member in zip(names, members, strict=True)}


def read_npy(path: str | os.PathLike[str]) -> np.ndarray:
    """The array of an .npy file, read from disk as it is used.

    Raises:
        DataError: The file cannot be read, is no .npy, or holds no numbers.
    """
    with _explained(path, "no .npy array", "Write it with np.save(path, x)"):
        with open(path, "rb") as file:
            shape, dtype = _read_header(file, os.fstat(file.fileno()).st_size)
        if 0 in shape:  # an empty file cannot be mapped
            return np.zeros(shape, dtype)
        return np.lib.format.open_memmap(os.fspath(path), mode="r")


def array_of(content: bytes) -> np.ndarray:
    """The array of an .npy file's content.

    Raises:
        ValueError: It is none, or holds no numbers.
    """
    stream = io.BytesIO(content)
    _read_header(stream, len(content))
    stream.seek(0)
    return np.lib.format.read_array(stream, allow_pickle=False)


def _check_members(members: list[zipfile.ZipInfo]) -> None:
    names = [member.filename for member in members]
    if len(set(names)) < len(names):
        raise ValueError(f"it holds the array {max(names, key=names.count)!r} twice")
    for name in names:
        if not name.endswith(".npy"):
            raise ValueError(f"its member {name!r} is no array")
    size, available = sum(member.file_size for member in members), available_memory()
    if available is not None and size > _SHARE * available:
        raise ValueError(
            f"its arrays take {size / 2**30:.1f} GiB and {available / 2**30:.1f} GiB of memory are free; give fewer "
            "samples, or a directory of .npy files, which are read one by one"
        )


def _read_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> np.ndarray:
    with archive.open(member) as stream:
        _read_header(stream, member.file_size)
    with archive.open(member) as stream:
        array = np.lib.format.read_array(stream, allow_pickle=False)
    return np.asarray(array, array.dtype.newbyteorder("="), order="C")


def _read_header(stream: IO[bytes], size: int) -> tuple[tuple[int, ...], np.dtype]:
    """Shape and type of an array in ``size`` bytes of .npy, which must be what the shape needs.

    Raises:
        ValueError: They are not, or the array holds records or Python objects.
    """
    version = np.lib.format.read_magic(stream)
    if version not in _HEADERS:
        raise ValueError(f"it has version {version} of the format, which is not for plain numbers")
    shape, _, dtype = _HEADERS[version](stream)
    if dtype.hasobject or dtype.kind == "V":
        raise ValueError(f"it holds values of type {str(dtype)[:60]}, and only plain numbers are taken")
    if any(isinstance(n, bool) or n < 0 for n in shape):
        raise ValueError(f"it has the shape {shape}")
    there, needed = size - stream.tell(), math.prod(shape) * dtype.itemsize
    if there != needed:
        raise ValueError(f"its shape {shape} of {dtype} needs {needed} bytes, and {there} are there")
    return shape, dtype


@contextlib.contextmanager
def _explained(path: str | os.PathLike[str], what: str, fix: str) -> Iterator[None]:
    """Turns the errors of reading arrays into DataError."""
    if is_special(path_text(path, "a file of arrays")):
        raise DataError(f"'{path}' is a pipe or a device; arrays are read from files. Save it as one first.")
    try:
        yield
    except OSError as error:
        raise DataError(f"'{path}' cannot be read: {error.strerror or error}. Check the path.") from error
    except Exception as error:  # NumPy and zipfile raise whatever a damaged file leads to
        reason = str(error).rstrip(".") or type(error).__name__
        raise DataError(f"'{path}' is {what}: {reason}. {fix}") from error
