"""Elements of HTML and SVG: whatever is not markup already is escaped, so that no name from a file becomes markup."""

from __future__ import annotations

import html
from collections.abc import Iterable

from converters.printable import printable

_VOID = {"br", "img", "meta"}  # they have no end tag

Attribute = str | float | bool | None


class Html(str):
    """Markup; any other text is escaped where it is put into an element."""

    __slots__ = ()


def tag(name: str, /, *children: str | None, **attributes: Attribute) -> Html:
    """An element.

    Args:
        name: such as ``td``.
        children: what is in it, in order; None: nothing.
        attributes: by name, ``_`` standing for ``-`` and one at the end for nothing (``class_``); True: without a
            value; None and False: left out.
    """
    start = name + "".join(_attribute(key, value) for key, value in attributes.items())
    if name in _VOID:
        return Html(f"<{start}>")
    return Html(f"<{start}>{joined(children)}</{name}>")


def joined(children: Iterable[str | None]) -> Html:
    """Elements and text one behind the other."""
    return Html("".join(escaped(child) for child in children if child is not None))


def escaped(text: str) -> Html:
    """Text as markup that shows it; what moves the cursor or cannot be seen is shown as Python writes it."""
    return text if isinstance(text, Html) else Html(html.escape(printable(text, keep="\n")))


def _attribute(key: str, value: Attribute) -> str:
    if value is None or value is False:
        return ""
    name = key.removesuffix("_").replace("_", "-")
    if value is True:
        return f" {name}"
    text = number(value) if isinstance(value, (int, float)) else escaped(str(value))
    return f' {name}="{text}"'


def number(value: float) -> str:
    """A coordinate: a tenth of a pixel is as fine as anyone sees."""
    return f"{value:.1f}".removesuffix(".0")
