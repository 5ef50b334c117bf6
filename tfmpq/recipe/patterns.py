"""Regular expressions that take time in proportion to the text: rules and layer names come from files of others.

Python's own search goes back and tries again, ``(a+)+$`` for 2^n steps. Here all ways to match go forward together, a
character at a time, as in RE2; whether one arrives is all that a rule asks. The syntax is that of :mod:`re`, read by
its own parser, without what needs to look back at what was matched: references to groups, and possessive repeats.
Patterns that leave hardly a choice, as nearly all do, are left to Python, which is fifty times as fast.
"""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

try:
    from re import _parser as _syntax  # pyright: ignore[reportAttributeAccessIssue]  # private, but of Python itself
except ImportError:  # Python 3.10
    import sre_parse as _syntax  # pyright: ignore[reportMissingImports]

_MAX_LENGTH = 1000  # characters of a pattern
_MAX_STEPS = 2000  # of a program: `(a{100}){100}` has 10,000
_MAX_CHOICES = 100  # of a pattern that is left to Python
_MANY = 50  # choices that a repeat without an end stands for: Python then takes n^2 steps at most
_Test = Callable[[str, int], bool]  # (text, position)
_CLASSES = {"DIGIT": r"\d", "SPACE": r"\s", "WORD": r"\w", "NOT_DIGIT": r"\D", "NOT_SPACE": r"\S", "NOT_WORD": r"\W"}


@dataclass(frozen=True, eq=False)
class _Step:
    """One step: takes a character that ``takes``, or none if ``holds`` is true of the place; then goes on at ``then``.

    Without either it goes on at once. A step without ``then`` is the end: the text matches.
    """

    then: tuple[_Step, ...] = ()
    takes: _Test | None = None
    holds: _Test | None = None


class _Loop(_Step):
    """A step that is made before what it leads to."""

    def lead_to(self, *then: _Step) -> None:
        object.__setattr__(self, "then", then)


@functools.lru_cache(maxsize=4096)
def compile_pattern(pattern: str) -> Callable[[str], bool]:
    """A function that says whether the pattern matches anywhere in a text, as ``re.search`` does.

    Raises:
        ValueError: It is no regular expression, or one that is not supported; with the reason.
    """
    if len(pattern) > _MAX_LENGTH:
        raise ValueError(f"it has {len(pattern)} characters, more than {_MAX_LENGTH}")
    try:
        pattern.encode()  # UnicodeEncodeError is a ValueError
        tree = _syntax.parse(pattern)
        start = _Builder().sequence(tree, tree.state.flags, _Step())  # refuses what Python would take
        if _choices(tree) <= _MAX_CHOICES:
            search = re.compile(pattern).search
            return lambda text: search(text) is not None
    except (re.error, OverflowError) as error:
        raise ValueError(str(error)) from error
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    return lambda text: _runs(start, text, 0, anywhere=True)


def _choices(tree: Any) -> float:
    """In how many ways Python may try to match, up to a factor of the text's length."""
    ways = 1.0
    for kind, argument in tree:
        if str(kind) == "BRANCH":
            ways *= sum(_choices(branch) for branch in argument[1])
        elif str(kind) == "SUBPATTERN":
            ways *= _choices(argument[3])
        elif str(kind) in ("MAX_REPEAT", "MIN_REPEAT"):
            least, most, body = argument
            inner = _choices(body)
            if inner > 1 and most > 1:
                return math.inf
            ways *= inner * (_MANY if most - least > _MANY else most - least + 1)
        elif str(kind) in ("ASSERT", "ASSERT_NOT"):
            ways *= _choices(argument[1])
    return ways


def _runs(start: _Step, text: str, begin: int, *, anywhere: bool = False) -> bool:
    """Whether the steps lead to the end from ``begin``, or with ``anywhere`` from any later place."""
    current: list[_Step] = []
    for place in range(begin, len(text) + 1):
        if anywhere or place == begin:
            current.append(start)
        reached = _without_taking(current, text, place)
        if any(not step.then for step in reached):
            return True
        if place < len(text):
            current = [after for step in reached if step.takes and step.takes(text, place) for after in step.then]
        if not current and not anywhere:
            return False
    return False


def _without_taking(steps: Sequence[_Step], text: str, place: int) -> list[_Step]:
    """The steps that take a character, and the end, as far as they can be reached without taking one."""
    seen: set[int] = set()
    waiting, reached = list(steps), []
    while waiting:
        step = waiting.pop()
        if id(step) in seen:
            continue
        seen.add(id(step))
        if step.takes is not None or not step.then:
            reached.append(step)
        elif step.holds is None or step.holds(text, place):
            waiting += step.then
    return reached


class _Builder:
    """Makes steps of a parsed pattern, from its end to its beginning."""

    def __init__(self) -> None:
        self._made = 0

    def sequence(self, tree: Any, flags: int, then: _Step) -> _Step:
        for kind, argument in reversed(list(tree)):
            then = self._one(str(kind), argument, flags, then)
        return then

    def _step(self, then: tuple[_Step, ...], takes: _Test | None = None, holds: _Test | None = None) -> _Step:
        self._made += 1
        if self._made > _MAX_STEPS:
            raise ValueError("its repeats make it too large")
        return _Step(then, takes, holds)

    def _one(self, kind: str, argument: Any, flags: int, then: _Step) -> _Step:
        if kind in ("LITERAL", "NOT_LITERAL", "ANY", "IN"):
            return self._step((then,), takes=_character(kind, argument, flags))
        if kind == "BRANCH":
            return self._step(tuple(self.sequence(branch, flags, then) for branch in argument[1]))
        if kind == "SUBPATTERN":
            _, added, removed, body = argument
            return self.sequence(body, (flags | added) & ~removed, then)
        if kind in ("MAX_REPEAT", "MIN_REPEAT"):
            least, most, body = argument
            return self._repeat(least, most, body, flags, then)
        if kind == "AT":
            return self._step((then,), holds=_place(str(argument), flags))
        if kind in ("ASSERT", "ASSERT_NOT"):
            direction, body = argument
            return self._step((then,), holds=self._look(direction, body, flags, kind == "ASSERT"))
        raise ValueError("references to groups, and possessive or atomic parts, are not supported")

    def _repeat(self, least: int, most: Any, body: Any, flags: int, then: _Step) -> _Step:
        if most == _syntax.MAXREPEAT:
            self._made += 1
            loop = _Loop()
            loop.lead_to(self.sequence(body, flags, loop), then)
            result: _Step = loop
        else:
            result = then
            for _ in range(int(most) - least):
                result = self._step((self.sequence(body, flags, result), then))
        for _ in range(least):
            self._made += 1  # an empty body makes no steps
            if self._made > _MAX_STEPS:
                raise ValueError("its repeats make it too large")
            result = self.sequence(body, flags, result)
        return result

    def _look(self, direction: int, body: Any, flags: int, wanted: bool) -> _Test:
        start = self.sequence(body, flags, _Step())
        width = body.getwidth()[0] if direction < 0 else 0  # behind, the parser allows fixed widths only

        def holds(text: str, place: int) -> bool:
            return (place >= width and _runs(start, text[:place] if width else text, place - width)) == wanted

        return holds


def _place(kind: str, flags: int) -> _Test:
    """Whether a place in the text is a beginning, an end or a boundary, as asked for."""
    word = re.compile(r"\w", flags & re.ASCII)

    def boundary(text: str, place: int) -> bool:
        before, after = text[place - 1 : place] if place else "", text[place : place + 1]
        return bool(word.match(before)) != bool(word.match(after))

    several = flags & re.MULTILINE
    tests: dict[str, _Test] = {
        "AT_BEGINNING": lambda text, place: place == 0 or bool(several and text[place - 1] == "\n"),
        "AT_BEGINNING_STRING": lambda text, place: place == 0,
        "AT_END": lambda text, place: text[place:] in ("", "\n") or bool(several and text[place] == "\n"),
        "AT_END_STRING": lambda text, place: place == len(text),
        "AT_BOUNDARY": boundary,
        "AT_NON_BOUNDARY": lambda text, place: text != "" and not boundary(text, place),  # as in Python
    }
    return tests[kind]


def _character(kind: str, argument: Any, flags: int) -> _Test:
    """Whether the character at a place is one that a literal, ``.`` or a set takes."""
    if kind == "ANY":
        return lambda text, place: text[place] != "\n" or bool(flags & re.DOTALL)
    items = argument if kind == "IN" else [("LITERAL", argument)]
    negated = kind == "NOT_LITERAL" or str(items[0][0]) == "NEGATE"
    parts = [_part(str(name), value, flags) for name, value in items if str(name) != "NEGATE"]
    both = flags & re.IGNORECASE

    def takes(text: str, place: int) -> bool:
        character = text[place]
        ways = (character, character.lower(), character.upper()) if both else (character,)
        return any(part(way) for part in parts for way in ways) != negated

    return takes


def _part(name: str, value: Any, flags: int) -> Callable[[str], bool]:
    if name == "RANGE":
        return lambda character: len(character) == 1 and value[0] <= ord(character) <= value[1]
    if name == "CATEGORY":
        found = re.compile(_CLASSES[str(value).removeprefix("CATEGORY_")], flags & re.ASCII)
        return lambda character: found.match(character) is not None
    return lambda character: character == chr(value)
