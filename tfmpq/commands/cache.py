"""``tfmpq cache``: what is kept of earlier conversions, and removing it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from absl import flags

from tfmpq.commands.budget_flags import read_bytes
from tfmpq.commands.command import Command, UsageError
from tfmpq.commands.outputs import check_outputs
from tfmpq.commands.results import define_result_flags, give_json, say
from tfmpq.text import Column, Table, plural, quantity, to_terminal

if TYPE_CHECKING:
    from tfmpq.cache.entry import Entry

ACTIONS = ("list", "clear")
_COLUMNS = (
    Column("model", least=20),
    Column("samples", numeric=True),
    Column("options that differ from default", least=20),
    Column("size", numeric=True),
    Column("last used"),
)


def _define_flags(values: flags.FlagValues) -> None:
    folder = "The folder, or its URL in a store; default: tfmpq in $XDG_CACHE_HOME, or in ~/.cache."
    flags.DEFINE_string("cache", None, folder, flag_values=values)
    most = "clear: keep what was used last, up to this size (20GB, 500MiB); default: nothing."
    flags.DEFINE_string("max_bytes", None, most, flag_values=values)
    define_result_flags(values, progress=False)


def _execute(values: flags.FlagValues, arguments: list[str]) -> None:
    action = arguments[0]
    if action not in ACTIONS:
        raise UsageError(f"there is no {action!r}: say {' or '.join(ACTIONS)}")
    if values.max_bytes is not None and action != "clear":
        raise UsageError("--max_bytes is for tfmpq cache clear")
    most = 0 if values.max_bytes is None else read_bytes("max_bytes", values.max_bytes)
    check_outputs(values, ("json",), sources=())
    from tfmpq.cache.anywhere import open_store
    from tfmpq.cache.store import default_folder  # loads the file schema, which other commands do without

    store = open_store(default_folder() if values.cache is None else values.cache, make=False)
    entries = store.entries() if action == "list" else store.clear(most)
    content = {"folder": str(store.folder), action: [_plain(entry) for entry in entries]}
    give_json(values, content, command="cache", files={"cache": values.cache})
    total = f"{plural(len(entries), 'file')}, {quantity(sum(entry.bytes for entry in entries), 'B')}"
    if action == "clear":
        say(values, f"removed from '{store.folder}': {total}")
    else:
        rows = tuple(map(_row, entries))
        say(values, to_terminal([Table(_COLUMNS, rows, notes=(f"'{store.folder}': {total}",))]))


def _plain(entry: Entry) -> dict[str, object]:
    return {**entry.header, "file": entry.path.name, "bytes": entry.bytes, "used": _day(entry.used)}


def _row(entry: Entry) -> tuple[str, ...]:
    header = entry.header
    options = header.get("options")
    chosen = [f"{name}={value}" for name, value in options.items()] if isinstance(options, dict) else []
    name = f"{header.get('model', 'damaged')}{' (float file)' if header.get('kind') == 'model' else ''}"
    return name, str(header.get("samples", "")), ", ".join(chosen), quantity(entry.bytes, "B"), _day(entry.used)


def _day(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds))


CACHE = Command(
    name="cache",
    summary="list or clear what convert --cache has kept of earlier conversions",
    arguments="list|clear [--cache DIR] [flags]",
    examples=(
        "tfmpq cache list",
        "tfmpq cache clear --cache=/scratch/tfmpq --max_bytes=5GB",
    ),
    define_flags=_define_flags,
    execute=_execute,
    positional=1,
)
