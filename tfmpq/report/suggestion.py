"""A rule worth adding to the recipe, and its text: Python to paste."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tfmpq.recipe.rules import Rule
from tfmpq.text import WIDTH, Lines, quantity

_PIECE = 50  # characters of a pattern on one line of a rule that needs several; each may take two columns


@dataclass(frozen=True)
class Suggestion:
    """A rule that would take away most of a layer's error.

    Attributes:
        layer: the layer the rule matches.
        rule: for the recipe of the next conversion.
        error_share: the layer's part of the total error, 0..1.
        added_bytes: by how much the file grows (it may shrink).
    """

    layer: str
    rule: Rule
    error_share: float
    added_bytes: int

    @property
    def comment(self) -> str:
        """What it brings and costs."""
        growth = self.added_bytes
        size = f"{'+' if growth > 0 else '-'}{quantity(abs(growth), 'B')}" if growth else "same file size"
        return f"{100 * self.error_share:.0f} % of the error, {size}"


def rules_to_paste(suggestions: Sequence[Suggestion], *, title: str) -> Lines:
    """The rules as Python source, with what each brings and costs as a comment."""
    return commented_rules([(suggestion.rule, suggestion.comment) for suggestion in suggestions], title=title)


def commented_rules(rules: Sequence[tuple[Rule, str]], *, title: str) -> Lines:
    """Rules as Python source, each with a comment; nothing, without any."""
    lines = [line for rule, comment in rules for line in _rule_lines(rule, comment)]
    return Lines(tuple(lines), title=title if lines else "", code=True)


def _rule_lines(rule: Rule, comment: str) -> Iterator[str]:
    settings = ", ".join(f"{key}={value!r}" for key, value in rule.settings().items())
    comment = f"# {comment}"
    line = f"    Rule(match={_literal(rule.match)}, {settings}),  {comment}"
    if len(line) <= WIDTH:
        yield line
        return
    # Cut between escaped characters, so that every piece is a string of its own.
    characters = re.findall(r"\\.|.", rule.match, re.DOTALL)
    pieces = [_literal("".join(characters[i : i + _PIECE])) for i in range(0, len(characters), _PIECE)]
    yield "    Rule("
    lines = [f"              {piece}" for piece in pieces]
    lines[0] = f"        match={pieces[0]}"
    yield from (*lines[:-1], f"{lines[-1]},")
    yield f"        {settings},"
    yield f"    ),  {comment}"


def _literal(pattern: str) -> str:
    """The pattern as Python source, raw where that is possible."""
    return f'r"{pattern}"' if '"' not in pattern and pattern.isprintable() else repr(pattern)
