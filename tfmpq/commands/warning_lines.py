"""Warnings as lines on stderr, without Python's own decoration."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from converters.printable import printable


@contextmanager
def warning_lines(command: str, category: type[Warning], *, module: str = "") -> Iterator[None]:
    """Prints every warning of a category as a line of the command, once.

    Args:
        command: its name.
        category: of the warnings; all others are shown as usual.
        module: regular expression of the module that warns; empty: any.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("always", category=category, module=module)
        usual, said = warnings.showwarning, set[str]()

        def show(message: Any, kind: type[Warning], *where: Any, **more: Any) -> None:
            if issubclass(kind, category):
                if str(message) in said:  # of the same data, in each of several conversions
                    return
                said.add(str(message))
                print(f"tfmpq {command}: warning: {printable(str(message))}", file=sys.stderr)
            else:
                usual(message, kind, *where, **more)

        warnings.showwarning = show
        yield
