"""A file of unknown origin is run in a process of its own first: kernels trust what files say, and may crash."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from typing import Any

from converters.errors import FileFormatError
from converters.runtime.child_process import refusals
from converters.runtime.content import read_content
from converters.runtime.interpreter import Kernels, check_content, make_interpreter

_ran: set[tuple[bytes, Kernels]] = set()  # digests of files, and kernels that have run them: once is enough


def open_file(
    model: bytes | str | os.PathLike[str], *, kernels: Kernels = "xnnpack", threads: int = 1, label: str | None = None
) -> Any:
    """As :func:`converters.runtime.interpreter.make_interpreter`, for a file of unknown origin.

    Raises:
        FileFormatError: As there, and as :func:`check_file` does.
        MissingDependencyError, OptionError: As there.
    """
    content, known = read_content(model)
    label = label or known
    check_content(content, label)
    check_file(content, label, [kernels])
    return make_interpreter(content, kernels=kernels, threads=threads, label=label)


def check_file(content: bytes, label: str, kernels: Sequence[Kernels]) -> None:
    """Loads and runs a file of unknown origin once, on zeros, before this process does.

    It takes 0.2 s, most of them Python's start. What a runtime refuses by itself passes: the same is said here, by
    whoever runs it.

    Args:
        content: .tflite bytes.
        label: what messages call the file.
        kernels: what will run it.

    Raises:
        FileFormatError: It ends the process, or takes too much time or memory; says which operator is to blame where
            that can be found.
    """
    digest = hashlib.sha256(content).digest()
    for name, found in refusals(content, {}, [name for name in kernels if (digest, name) not in _ran]).items():
        if found.died or found.stopped:
            where = _place(content, name) if found.died else ""
            raise FileFormatError(
                f"{label} cannot be run: {found.reason}{where}. It is damaged, or it uses an operator in a way that "
                "these kernels neither support nor refuse. Convert or download it again, or run it with others."
            )
    _ran.update((digest, name) for name in kernels)


def _place(content: bytes, kernels: Kernels) -> str:
    # These need the file's schema, without which files are run.
    from converters.frontend.first_run import place
    from converters.tflite.file import File

    return place(File.parse(content), {}, kernels)
