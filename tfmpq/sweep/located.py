"""A TOML or JSON file as plain values, with the line that each of them begins on."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from converters.errors import FileFormatError
from converters.plain_json import parse
from converters.small_file import read_file
from tfmpq.sweep.schema_check import Place

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[^\s{}\[\],:"]+|[{}\[\],:\n]')  # of JSON
_MOST = 1 << 20  # bytes of a spec


@dataclass(frozen=True)
class Located:
    """What a file says, and where.

    Attributes:
        path: the file.
        value: its content.
        lines: place of a value -> line number, from 1.
    """

    path: str
    value: dict[str, Any]
    lines: Mapping[Place, int]

    def line(self, place: Sequence[str | int]) -> int:
        """The line of a place, or of what it would be in."""
        inner = tuple(place)
        while inner and inner not in self.lines:
            inner = inner[:-1]
        return self.lines.get(inner, 1)


def read_located(path: str | os.PathLike[str]) -> Located:
    """Reads a file; JSON where its name ends in ``.json``, else TOML.

    Raises:
        FileFormatError: It cannot be read, or is no such file; the line is named.
    """
    name = os.fspath(path)
    try:
        text = read_file(path, _MOST).decode("utf-8-sig")
    except (OSError, ValueError) as error:
        raise FileFormatError(f"the spec '{name}' cannot be read: {error}. Check the path.") from error
    is_json = Path(name).suffix.lower() == ".json"
    try:
        value = parse(text) if is_json else _toml().loads(text)
    except (ValueError, RecursionError) as error:  # of both readers; they name the line
        raise FileFormatError(f"{name}: no {'JSON' if is_json else 'TOML'}: {error}") from error
    if not isinstance(value, dict):
        raise FileFormatError(f"{name}: a spec is an object of JSON, and this is something else.")
    return Located(name, value, dict(_json_lines(text) if is_json else _toml_lines(text)))


def _toml() -> Any:
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib  # pyright: ignore[reportMissingImports] (what 3.11 took over)
    return tomllib


def _toml_lines(text: str) -> Iterator[tuple[Place, int]]:
    """A statement ends where TOML can be read of its lines; what is in a table comes behind its header."""
    table: Place = ()
    counts: dict[Place, int] = {}  # of tables in arrays of tables
    pending, start = "", 0
    for number, line in enumerate(text.splitlines(), 1):
        inside, start = bool(pending), start if pending else number
        pending = f"{pending}{line}\n"
        if inside and line.endswith(","):
            continue  # in the middle of a list: to read all of it again would take its length squared
        try:
            found = _toml().loads(pending)
        except (ValueError, RecursionError):
            continue
        if pending.lstrip().startswith("["):
            header = next(_places(found))
            table = _counted(header, pending.lstrip().startswith("[["), counts)
            yield table, start
        else:
            yield from (((*table, *place), start) for place in _places(found))
        pending = ""


def _counted(header: Place, is_array: bool, counts: dict[Place, int]) -> Place:
    """The place of a header, with the positions in arrays of tables that it leads through."""
    keys = [key for key in header if isinstance(key, str)]
    place: Place = ()
    for number, key in enumerate(keys):
        place = (*place, key)
        if is_array and number == len(keys) - 1:
            counts[place] = counts.get(place, -1) + 1
        if place in counts:
            place = (*place, counts[place])
    return place


def _places(value: Any) -> Iterator[Place]:
    """All places in a value, what lies deepest first."""
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in entries:
        yield from ((key, *place) for place in _places(inner))
        yield (key,)


def _json_lines(text: str) -> Iterator[tuple[Place, int]]:
    """Places in a text that is known to be JSON, with the lines that their keys or values begin on."""
    stack: list[tuple[str | int, bool]] = []  # key or position of where it is, and whether a list holds it
    line, last = 1, ""
    for token in _TOKEN.finditer(text):
        what = token[0]
        in_list = bool(stack) and stack[-1][1]
        if what == "\n":
            line += 1
            continue
        if what[0] == '"' and stack and not in_list and last in ("{", ","):
            stack[-1] = (json.loads(what), False)
            yield tuple(key for key, _ in stack), line
        elif in_list and last in ("[", ",") and what not in ("]", ","):
            yield tuple(key for key, _ in stack), line
        if what in ("{", "["):
            stack.append((0, what == "["))
        elif what in ("}", "]"):
            stack.pop()
        elif what == "," and in_list:
            stack[-1] = (int(stack[-1][0]) + 1, True)
        last = what
