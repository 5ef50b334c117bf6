"""Files that start with the graph of one signature, for processes that run what comes first."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from converters.errors import FileFormatError


@contextlib.contextmanager
def entry_files(files: Sequence[str], signature: str | None) -> Iterator[dict[str, str]]:
    """Path -> path of a temporary file, the same with the graph of ``signature`` in front.

    They are made here, not where they are timed: what that takes is no part of a process's memory or time.

    Args:
        files: paths. Those that cannot be read are left out: their own processes say why.
        signature: key; None: no file is made.

    Raises:
        OptionError: A file has no such signature.
    """
    if signature is None:
        yield {}
        return
    from converters.frontend.entry_file import entry_first  # loads the schema, which the rest does without

    with tempfile.TemporaryDirectory(prefix="tfmpq-") as folder:
        made: dict[str, str] = {}
        for number, file in enumerate(dict.fromkeys(files)):
            with contextlib.suppress(FileFormatError):
                content = entry_first(file, signature)
                path = Path(folder, f"{number}.tflite")
                path.write_bytes(content)
                made[file] = str(path)
        yield made
