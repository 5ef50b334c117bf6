"""Writing files so that a reader never sees half of one; reading arrays with errors worth reading."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from converters.errors import DataError


def write_atomic(path: str | os.PathLike[str], content: bytes) -> None:
    """Writes a file in full or not at all: to a new file beside it, flushed to disk, then renamed over it.

    An existing file keeps its permissions; a symbolic link keeps pointing where it does.

    Raises:
        OSError: The file cannot be written; what was there is untouched.
    """
    target = Path(os.path.realpath(path))
    if target.is_dir():  # os.replace would report the temporary name
        raise IsADirectoryError(21, "Is a directory", str(path))
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}.tmp")
    try:
        # Exclusive creation with the default mode, so that the file gets the permissions any new file would.
        with open(temporary, "xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileNotFoundError):
            os.chmod(temporary, target.stat().st_mode & 0o7777)
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


_MAGIC = b"\x93NUMPY"  # of an .npy file


def read_npz(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """All arrays of an .npz file.

    Raises:
        DataError: The file cannot be read, is no .npz, or holds pickled objects.
    """
    with _explained(path, "no .npz of plain arrays", "np.savez(path, x=...)"), open(path, "rb") as file:
        start = file.read(len(_MAGIC))
        file.seek(0)
        if not start.startswith((b"PK", _MAGIC)):  # NumPy would advise to unpickle it
            raise ValueError("it does not begin as one")
        content = np.load(file)  # given a path, np.load leaves the file open when it fails
        if isinstance(content, np.ndarray):
            raise ValueError("it holds a single array, as .npy files do")
        return {key: content[key] for key in content.files}


def read_npy(path: str | os.PathLike[str]) -> np.ndarray:
    """The array of an .npy file, read from disk as it is used.

    Raises:
        DataError: The file cannot be read, is no .npy, or holds pickled objects.
    """
    with _explained(path, "no .npy array", "np.save(path, x)"):
        return np.lib.format.open_memmap(os.fspath(path), mode="r")


@contextlib.contextmanager
def _explained(path: str | os.PathLike[str], what: str, fix: str) -> Iterator[None]:
    """Turns the errors of reading arrays into DataError."""
    try:
        yield
    except OSError as error:
        raise DataError(f"'{path}' cannot be read: {error.strerror or error}. Check the path.") from error
    except Exception as error:  # NumPy raises whatever a damaged file leads to
        raise DataError(f"'{path}' is {what}: {str(error).rstrip('.')}. Write it with {fix}") from error
