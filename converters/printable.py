"""Text from files as a terminal may show it."""

from __future__ import annotations

import reprlib


def printable(text: str, *, keep: str = "") -> str:
    """``text`` with all that moves the cursor, changes colours or cannot be seen as Python writes it.

    Names of layers, tensors and files come from anywhere.

    Args:
        text: any, lone surrogates included.
        keep: characters that stay all the same, such as a line break.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in keep else c.encode("unicode_escape").decode() for c in text)


def shown(value: object) -> str:
    """A value for a message as Python writes it, without the middle of what is long; whatever the value is."""
    return _REPR.repr(value)


class _Repr(reprlib.Repr):
    def repr_int(self, x: int, level: int) -> str:
        return super().repr_int(x, level) if x.bit_length() < 1000 else f"a number of {x.bit_length()} bits"


_REPR = _Repr()
_REPR.maxstring = _REPR.maxother = 100
