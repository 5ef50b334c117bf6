"""What a command found: text on stdout, or JSON that says what made it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from absl import flags

from converters.printable import printable
from tfmpq.files import write_atomic
from tfmpq.schemas import schema_id
from tfmpq.text import Facts
from tfmpq.version import __version__

STDOUT = "-"
_NOT_OPTIONS = ("json", "html", "model_explorer", "quiet", "progress", "verbose", "cache")  # they change no result


def define_result_flags(values: flags.FlagValues, *, progress: bool = True) -> None:
    """Adds ``--json``, ``--quiet`` and ``--progress``."""
    flags.DEFINE_string(
        "json", None, "Write everything as JSON to this file; - prints JSON in place of the text.", flag_values=values
    )
    flags.DEFINE_boolean("quiet", False, "Print warnings, errors and JSON that is asked for, nothing else.", values)
    if progress:
        what = "Show progress bars on stderr; if left out, where that is a terminal."
        flags.DEFINE_boolean("progress", True, what, flag_values=values)


def define_html_flag(values: flags.FlagValues) -> None:
    """Adds ``--html``."""
    flags.DEFINE_string("html", None, "Write a page with charts to this file; it needs no network.", values)


def says(values: flags.FlagValues) -> bool:
    """Whether text is to be printed."""
    return not values.quiet and values.json != STDOUT


def say(values: flags.FlagValues, text: object) -> None:
    """Prints text, unless only JSON or nothing is asked for; what it quotes from files is shown escaped."""
    if says(values):
        print(printable(str(text), keep="\n"), flush=True)


def give_json(
    values: flags.FlagValues,
    content: Mapping[str, Any],
    *,
    command: str,
    files: Mapping[str, object],
    schema: str | None = None,
) -> None:
    """Writes or prints the result as JSON if ``--json`` asks for it.

    Args:
        values: the parsed flags.
        content: the result as plain data.
        command: the command's name.
        files: what each file is -> its path, or paths.
        schema: of the result; None: the command's.
    """
    if values.json is None:
        return
    text = document(values, content, command=command, files=files, schema=schema)
    if values.json == STDOUT:
        print(text, flush=True)
    else:
        write_atomic(values.json, text.encode())


def made_with(values: flags.FlagValues, *, command: str, files: Mapping[str, object]) -> Facts:
    """The same as :func:`made_by` says, to read: files, and the options that are not as they are by default."""
    made = made_by(values, command=command, files=files)
    changed = {name: value for name, value in made["options"].items() if value != values[name].default}
    given = (f"{name}={_listed(value)}" for name, value in changed.items())
    paths = ((name, _listed(path)) for name, path in made["files"].items())
    options = ("options", ", ".join(given) or "as they are by default")
    return Facts((("made by", f"tfmpq {made['version']}, tfmpq {command}"), *paths, options))


def _listed(value: object) -> str:
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


def document(
    values: flags.FlagValues,
    content: Mapping[str, Any],
    *,
    command: str,
    files: Mapping[str, object],
    schema: str | None = None,
) -> str:
    """A result as JSON that says which schema it keeps, and what made it; see :func:`give_json`."""
    made = made_by(values, command=command, files=files)
    return json.dumps({"schema": schema_id(schema or command), **content, "made_by": made}, indent=2)


def made_by(values: flags.FlagValues, *, command: str, files: Mapping[str, object]) -> dict[str, Any]:
    """What a result was made with: program, version, command, options, seed, files."""
    options = {name: value for name, value in values.flag_values_dict().items() if name not in _NOT_OPTIONS}
    short = {values[name].short_name for name in options}
    return {
        "tool": "tfmpq",
        "version": __version__,
        "command": command,
        "options": {name: value for name, value in options.items() if name not in short and name not in files},
        "seed": options.get("seed"),
        "files": {name: path for name, path in files.items() if path is not None},
    }
