"""Markdown of the repository as Python-Markdown reads it, with links that lead where pages of the site are."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping

_LINK = re.compile(r"(?P<image>!?)\[(?P<text>(?:[^\[\]]|\[[^\]]*\])*)\]\((?P<target>[^)\s]+)\)")
_PICTURE = re.compile(r'(<img src=")([^"]+)(")')
_FENCE = re.compile(r"(`{3,})")
_ITEM = re.compile(r"([*-]|\d+\.) ")
_ELSEWHERE = re.compile(r"[a-z]+:|#|//")


def adapted(text: str, source: str, pages: Mapping[str, str]) -> str:
    """A page for the site.

    Args:
        text: its Markdown as GitHub reads it.
        source: path of its file in the repository.
        pages: path in the repository -> path in the site, of all files that are there.

    Returns:
        The same with links between pages as the site has them, the text alone where a link leads to a file that the
        site has not, and lists as Python-Markdown wants them: a blank line before, four spaces for what belongs to
        an item.
    """
    lines = []
    fenced = False
    for line in text.splitlines():
        opens = _FENCE.match(line) is not None
        if not (fenced or opens):
            if _ITEM.match(line) and lines and lines[-1] and not _ITEM.match(lines[-1]) and lines[-1][0] != " ":
                lines.append("")
            line = _linked(f"  {line}" if line.startswith("  ") else line, source, pages)
        fenced ^= opens
        lines.append(line)
    return "\n".join(lines) + "\n"


def _linked(line: str, source: str, pages: Mapping[str, str]) -> str:
    here = posixpath.dirname(pages[source])

    def place(target: str) -> str | None:
        path, hash_, anchor = target.partition("#")
        path = posixpath.normpath(posixpath.join(posixpath.dirname(source), path))
        return f"{posixpath.relpath(pages[path], here or '.')}{hash_}{anchor}" if path in pages else None

    def link(match: re.Match[str]) -> str:
        image, text, target = match["image"], match["text"], match["target"]
        if _ELSEWHERE.match(target):
            return match[0]
        text = _LINK.sub(link, text)  # a picture that is a link
        found = place(target)
        return text if found is None else f"{image}[{text}]({found})"

    def picture(match: re.Match[str]) -> str:
        return f"{match[1]}{place(match[2]) or match[2]}{match[3]}"

    return _PICTURE.sub(picture, _LINK.sub(link, line))
