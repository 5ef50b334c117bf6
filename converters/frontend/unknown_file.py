"""A file of unknown origin is run in a process of its own first: kernels trust what files say, and may crash."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from converters.errors import FileFormatError
from converters.runtime.child_process import refusals
from converters.runtime.interpreter import Kernels


def check_file(
    content: bytes, label: str, kernels: Sequence[Kernels], feeds: Mapping[str, np.ndarray] | None = None
) -> None:
    """Loads and runs a file of unknown origin once before this process does; 0.2 s, most of them Python's start.

    What a runtime refuses by itself passes: the same is said here, by whoever runs it.

    Args:
        content: .tflite bytes.
        label: what messages call the file.
        kernels: what will run it.
        feeds: one sample; None: zeros.

    Raises:
        FileFormatError: It ends the process, or takes too much time or memory; says which operator is to blame where
            that can be found.
    """
    for name, found in refusals(content, feeds or {}, kernels).items():
        if found.died or found.stopped:
            where = _place(content, feeds or {}, name) if found.died else ""
            raise FileFormatError(
                f"{label} cannot be run: {found.reason}{where}. It is damaged, or it uses an operator in a way that "
                "these kernels neither support nor refuse. Convert or download it again, or run it with others."
            )


def _place(content: bytes, feeds: Mapping[str, np.ndarray], kernels: Kernels) -> str:
    # These need the file's schema, without which files are run.
    from converters.frontend.first_run import place
    from converters.tflite.file import File

    return place(File.parse(content), feeds, kernels)
