"""The content of a .tflite file that is given as bytes or by its path."""

from __future__ import annotations

import os
from pathlib import Path

from converters.errors import FileFormatError
from converters.paths import is_special, path_text
from converters.runtime.memory import available_memory


def read_content(model: bytes | str | os.PathLike[str]) -> tuple[bytes, str]:
    """Content of a .tflite file given as bytes or path, and a name for messages.

    Raises:
        FileFormatError: The file cannot be read, or is none: devices and pipes may have no end.
        OptionError: ``model`` is neither.
    """
    if isinstance(model, (bytes, bytearray, memoryview)):
        return bytes(model), f"the model ({len(model)} bytes)"
    path = path_text(model, "a .tflite file, nor the content of one")
    label = f"file '{path}'"
    if is_special(path):
        raise FileFormatError(f"{label} is a device, a pipe or a socket. Give a .tflite file.")
    try:
        size, available = os.path.getsize(path), available_memory()
        if available is not None and size > available:
            raise FileFormatError(
                f"{label} takes {size / 2**30:.1f} GiB, and {available / 2**30:.1f} GiB of memory are free. Is it a "
                ".tflite file?"
            )
        return Path(path).read_bytes(), label
    except OSError as error:
        raise FileFormatError(f"{label} cannot be read: {error.strerror}. Check the path.") from error
