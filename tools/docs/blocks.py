"""Code blocks of the documentation: what they are, and why some are not run.

Every block of Python and of a shell runs in a test (tests/tools/docs/test_pages.py), in the order of its page. One that
cannot has the reason in the line before it: <!-- not run: needs a phone -->.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
RUN = ("python", "sh")
_ELSEWHERE = ("README.md", "CONTRIBUTING.md", "SECURITY.md", "android_demo/README.md", "tools/native/README.md")
_FENCE = re.compile(r"( *)```(\w*)$")
_NOT_RUN = re.compile(r" *<!-- not run: (.+) -->")


@dataclass(frozen=True)
class Block:
    """A fenced block.

    Attributes:
        page: path in the repository.
        line: number of its first line of code.
        language: what follows the fence.
        text: the code, without the indentation of a list.
        not_run: why it is not run; None: it is.
    """

    page: str
    line: int
    language: str
    text: str
    not_run: str | None


def pages() -> list[str]:
    """Paths of all pages for users and contributors."""
    return [*_ELSEWHERE, *sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").glob("*.md"))]


def blocks_of(page: str, text: str) -> Iterator[Block]:
    """All fenced blocks of a page."""
    lines = text.splitlines()
    start: int | None = None
    for number, line in enumerate(lines):
        fence = _FENCE.match(line)
        if fence is None:
            continue
        if start is None:
            start, language, indent = number, fence[2], len(fence[1])
            continue
        reason = _NOT_RUN.match(lines[start - 1]) if start else None
        code = "\n".join(line[indent:] for line in lines[start + 1 : number])
        yield Block(page, start + 2, language, f"{code}\n", None if reason is None else reason[1])
        start = None


def commands_of(text: str) -> list[list[str]]:
    """The words of each command of a shell block, without comments."""
    lines = text.replace("\\\n", " ").splitlines()
    return [words for line in lines if (words := shlex.split(line, comments=True))]
