"""Text from files as a terminal may show it."""

from __future__ import annotations


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
