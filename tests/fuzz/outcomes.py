"""How a command line may end, and which endings are alike."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Kind = Literal["ok", "clear", "wrong", "traceback", "death", "hang", "blow-up"]
KINDS: tuple[Kind, ...] = ("ok", "clear", "wrong", "traceback", "death", "hang", "blow-up")
GOOD: tuple[Kind, ...] = ("ok", "clear")

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
# What TensorFlow and the runtimes say goes past Python, and is shown where there is an error; warnings are lines, too.
_NOISE = re.compile(
    r"(INFO|WARNING|ERROR|[IWE]\d{4}|fully_quantize)\b.*|(loc\(.*\): |<unknown>:0: )*(error|note): .*"
    r"|tfmpq \w+: warning: .*"
)


@dataclass(frozen=True)
class Outcome:
    """What became of one command line.

    Attributes:
        kind: ``ok`` (exit 0, all files written), ``clear`` (exit 1 or 2, one line that says why, no file written),
            ``wrong`` (neither, without an error of Python: no message, several lines, control characters, files that
            are not to be there or cannot be read), ``traceback``, ``death`` (of the process), ``hang``, ``blow-up``.
        message: the line on stderr, or what was wrong.
        where: of a traceback: the innermost place in the project's own code.
        seconds: of the command.
        megabytes: most memory, beside what was there before.
        lines: places in the code, if the run was traced, that the process had not seen before.
    """

    kind: Kind
    message: str = ""
    where: str = ""
    seconds: float = 0.0
    megabytes: float = 0.0
    lines: frozenset[int] = field(default=frozenset(), repr=False)

    @property
    def good(self) -> bool:
        """Whether it is how a command may end."""
        return self.kind in GOOD

    @property
    def signature(self) -> str:
        """Equal for endings of the same cause, as far as words tell."""
        if self.kind in ("hang", "blow-up"):
            return self.kind  # what it had come to is chance
        words = re.sub(r"'[^']*'|\"[^\"]*\"|\([^()]*\)|\[[^\]]*\]|\d+(\.\d+)?", "*", self.message)
        return f"{self.kind} {self.where or words[:160]}"


def judge(code: int, out: str, err: str, files: Mapping[str, str | None]) -> Outcome:
    """The outcome of a command line that returned.

    Args:
        code: its exit code.
        out: what it printed.
        err: what it and its libraries wrote to stderr.
        files: every file that it was to write or that is there -> what is wrong with it, None where nothing is;
            empty where it wrote none.
    """
    found = _CONTROL.search(out) or _CONTROL.search(err)
    if found:
        text = found.string
        return Outcome(
            "wrong", f"control character {found[0]!r} in {text[max(found.start() - 30, 0) : found.end() + 9]!r}"
        )
    lines = [line for line in err.splitlines() if line.strip() and not _NOISE.fullmatch(line.strip())]
    if code == 0:
        problems = [f"{name}: {problem}" for name, problem in files.items() if problem]
        return Outcome("wrong", "exit 0, but " + "; ".join(problems)) if problems else Outcome("ok")
    message = lines[0] if lines else ""
    if code not in (1, 2):
        return Outcome("wrong", f"exit code {code}: {message}")
    present = [name for name, problem in files.items() if problem != "missing"]
    if present:
        return Outcome("wrong", f"exit code {code}, but there are {present}: {message}")
    expected = 1 if code == 1 else 2  # a wrong command line is followed by where help is
    if len(lines) != expected or not message.startswith("tfmpq ") or not message.partition(": ")[2].strip():
        return Outcome("wrong", f"exit code {code} with {len(lines)} lines: {' / '.join(lines)[:300]}")
    return Outcome("clear", message)
