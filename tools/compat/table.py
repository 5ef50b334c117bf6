"""The verdicts as Markdown, and their place in the page."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from tools.compat.runtimes import Runtime
from tools.compat.verdict import SLOW, Verdict

BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
_LEGEND = f"""\
A cell says what the runtime does with the file:

* **runs**: its outputs have the bits of this environment's XNNPACK kernels, or of those named in brackets.
* **different**: it runs, and outputs differ; the signal-to-noise ratio against this environment's outputs, and the
  largest difference in steps of the int8 output. (N) is the reason, below the tables.
* **slow**: it takes more than {SLOW:g} times as long as stock int8 in the same runtime. The last number of a cell is
  that ratio, of processor time: the median over rounds in which both files run in turn, in one process, on one thread.
  What stands beside stock itself is noise. Emulated processors are not timed.
* **refuses**: the file does not load, or fails when it runs. (N) is the runtime's message.
"""


@dataclass(frozen=True)
class Row:
    """A runtime and what it did.

    Attributes:
        runtime: which.
        version: as it says itself; empty if it could not be installed.
        missing: why it could not be installed.
        verdicts: (network, io type, form) -> what it did.
    """

    runtime: Runtime
    version: str = ""
    missing: str = ""
    verdicts: dict[tuple[str, str, str], Verdict] = field(default_factory=dict)


class Notes:
    """Messages, each with a number once it is mentioned."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    def number(self, text: str) -> int:
        """Of a message."""
        return self._numbers.setdefault(text, len(self._numbers) + 1)

    def lines(self) -> list[str]:
        """All of them."""
        return [f"{number}. {text}" for text, number in self._numbers.items()]


def render(rows: Sequence[Row], about: Sequence[str]) -> str:
    """The measured part of the page.

    Args:
        rows: a runtime each.
        about: where, when and how it was measured, a line each.
    """
    notes = Notes()
    groups = list(dict.fromkeys((network, io) for row in rows for network, io, _ in row.verdicts))
    parts = ["\n".join(f"* {line}" for line in about), _LEGEND.strip()]
    for network, io in groups:
        forms = [f for n, i, f in _keys(rows) if (n, i) == (network, io)]
        parts.append(
            f"### {network.capitalize()}, {io} inputs and outputs\n\n{_table(rows, network, io, forms, notes)}"
        )
    parts.append("### Notes\n\n" + "\n".join(notes.lines() or ["None."]))
    return "\n\n".join(parts) + "\n"


def _keys(rows: Sequence[Row]) -> list[tuple[str, str, str]]:
    return list(dict.fromkeys(key for row in rows for key in row.verdicts))


def _table(rows: Sequence[Row], network: str, io: str, forms: Sequence[str], notes: Notes) -> str:
    lines = ["| runtime | version | " + " | ".join(forms) + " |", "|---" * (len(forms) + 2) + "|"]
    for row in rows:
        if row.missing:
            cells = [f"could not be installed ({notes.number(row.missing)})", *[""] * (len(forms) - 1)]
        else:
            found = [row.verdicts.get((network, io, form)) for form in forms]
            cells = ["" if verdict is None else cell(verdict, row.runtime.differs, notes) for verdict in found]
        lines.append(f"| {row.runtime.title} | {row.version.rpartition(' ')[2]} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def cell(verdict: Verdict, differs: str, notes: Notes) -> str:
    """One cell; ``differs`` says why the runtime's outputs may differ."""
    if verdict.refuses:
        return f"**refuses** ({notes.number(verdict.refuses)})"
    ratio = "" if verdict.ratio is None else f" {verdict.ratio:.2f}"
    if verdict.same_as:
        other = "" if verdict.same_as == "XNNPACK" else f" ({verdict.same_as})"
        return f"**slow**{other}{ratio}" if verdict.slow else f"runs{other}{ratio}"
    how = "not finite" if math.isinf(verdict.sqnr) else f"{verdict.sqnr:.0f} dB"
    if verdict.steps is not None:
        how += f", {verdict.steps} step" + ("s" if verdict.steps != 1 else "")
    why = f" ({notes.number(differs)})" if differs else ""
    slow = ", **slow**" if verdict.slow else ""
    return f"different{why} {how}{slow}{ratio}"


def insert(page: str, measured: str) -> str:
    """The page with its measured part replaced.

    Raises:
        ValueError: It has no such part.
    """
    begin, end = page.find(BEGIN), page.find(END)
    if not 0 <= begin < end:
        raise ValueError(f"the page has no part between {BEGIN} and {END}")
    return f"{page[: begin + len(BEGIN)]}\n\n{measured}\n{page[end:]}"
