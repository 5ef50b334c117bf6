"""What the JSON of every command looks like: a JSON Schema (draft 2020-12) each, with its version in the file's name.

A document says in ``schema`` which one it keeps: ``tfmpq/evaluate/1``. Within a version keys may be added, so readers
pass over those they do not know; none is taken away or given another meaning.
"""

from __future__ import annotations

import re
from importlib.resources import files

from converters.errors import OptionError
from converters.printable import shown


def schema_names() -> dict[str, int]:
    """Command -> the version of what it writes now, in alphabetical order."""
    found: dict[str, int] = {}
    for entry in files(__name__).iterdir():
        match = re.fullmatch(r"([a-z_]+)-(\d+)\.json", entry.name)
        if match is not None:
            found[match[1]] = max(int(match[2]), found.get(match[1], 0))
    return dict(sorted(found.items()))


def schema_id(command: str) -> str:
    """What a document of a command says of itself: ``tfmpq/evaluate/1``."""
    return f"tfmpq/{command}/{schema_names()[command]}"


def schema_text(name: str) -> str:
    """The schema of a command's JSON.

    Args:
        name: a command, ``evaluate``, whose newest version is taken, or with a version: ``evaluate/1``, also as in
            documents, ``tfmpq/evaluate/1``.

    Raises:
        OptionError: There is no such schema.
    """
    command, slash, version = name.removeprefix("tfmpq/").partition("/")
    known = schema_names()
    number = version if slash else str(known.get(command, ""))
    file = files(__name__) / f"{command}-{number}.json"
    if command not in known or not number.isascii() or not number.isdigit() or not file.is_file():
        raise OptionError(f"there is no schema {shown(name)}: there are {', '.join(map(schema_id, known))}")
    return file.read_text("utf-8")
