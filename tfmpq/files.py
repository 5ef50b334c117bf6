"""Writing files so that a reader never sees half of one; reading arrays with errors worth reading."""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path

import numpy as np

from tfmpq.errors import DataError


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


def read_npz(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """All arrays of an .npz file.

    Raises:
        DataError: The file cannot be read, is no .npz, or holds pickled objects.
    """
    try:
        with open(path, "rb") as file:  # np.load leaves the file open when it fails
            content = np.load(file)
            if isinstance(content, np.ndarray):
                raise ValueError("it holds a single array, as .npy files do")
            return {key: content[key] for key in content.files}
    except OSError as error:
        raise DataError(f"'{path}' cannot be read: {error.strerror}. Check the path.") from error
    except Exception as error:  # np.load raises whatever a damaged zip or a pickled array leads to
        raise DataError(f"'{path}' is no .npz of plain arrays: {error}. Write it with np.savez(path, x=...)") from error
