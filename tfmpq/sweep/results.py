"""Rows on disk: one line each as soon as it is there, whole or not at all, whenever the process ends."""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from converters.errors import FileFormatError
from tfmpq.files import write_atomic
from tfmpq.sweep.identity import file_digest

RESULTS, FORMER, LATENCIES = "results.jsonl", "former.jsonl", "latency.jsonl"
Plain = dict[str, Any]


class Journal:
    """A file of JSON lines that one process appends to.

    Args:
        path: of the file, which need not be there.
        mine: this is that process: a line that a former one was ended in is taken out. Readers pass over it.

    Raises:
        FileFormatError: A line is no row.
    """

    def __init__(self, path: Path, *, mine: bool = True) -> None:
        self._path = path
        self.entries: dict[str, Plain] = {}  # by key
        whole = path.read_bytes() if path.exists() else b""
        whole, torn = whole[: whole.rfind(b"\n") + 1], len(whole) - whole.rfind(b"\n") - 1
        for number, line in enumerate(whole.splitlines(), 1):
            try:
                entry = json.loads(line)
                self.entries[entry["key"]] = entry
            except (ValueError, KeyError, TypeError) as error:
                raise FileFormatError(
                    f"'{path}', line {number}, is no row of a sweep: remove the line, or the file, to do it again."
                ) from error
        if torn and mine:
            write_atomic(path, whole)

    def append(self, entry: Plain) -> None:
        """Adds a row: on disk when this returns.

        Raises:
            OSError: The disk is full, say; the file is as it was.
        """
        line = json.dumps(entry).encode() + b"\n"
        descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
        try:
            before = os.fstat(descriptor).st_size
            try:
                written = os.write(descriptor, line)
                if written < len(line):  # the rest says why
                    os.write(descriptor, line[written:])
                os.fsync(descriptor)
            except OSError:
                os.ftruncate(descriptor, before)
                raise
        finally:
            os.close(descriptor)
        self.entries[entry["key"]] = entry

    def replace(self, entries: Mapping[str, Plain]) -> None:
        """Writes all rows anew, in full or not at all."""
        if list(entries.items()) != list(self.entries.items()):
            write_atomic(self._path, b"".join(json.dumps(entry).encode() + b"\n" for entry in entries.values()))
        self.entries = dict(entries)


def open_results(folder: Path, keys: Collection[str], *, retry_failed: bool = False) -> Journal:
    """The rows of a folder that are still what the sweep is asked for.

    Rows that it is not asked for any more, or whose file is gone or another one, are kept apart in ``former.jsonl``;
    one that is asked for again comes back from there.

    Args:
        folder: of the sweep.
        keys: of the rows asked for.
        retry_failed: failed rows are to be done again.

    Raises:
        FileFormatError: A file of rows is damaged.
        OSError: One cannot be read or written.
    """
    results, former = Journal(folder / RESULTS), Journal(folder / FORMER)
    known = {**former.entries, **results.entries}
    wanted = {key: row for key, row in known.items() if key in keys and _is_whole(folder, row)}
    if retry_failed:
        wanted = {key: row for key, row in wanted.items() if "error" not in row}
    apart = {key: row for key, row in known.items() if key not in wanted and key not in keys}
    if apart:
        former.replace({**former.entries, **apart})  # first: what is ended in between is in both
    results.replace({**{key: row for key, row in results.entries.items() if key in wanted}, **wanted})
    former.replace({key: row for key, row in former.entries.items() if key not in wanted})
    return results


def read_results(folder: Path, keys: Collection[str] | None = None) -> list[Plain]:
    """All rows of a folder with what was measured of their latency.

    Args:
        folder: of a sweep.
        keys: of the rows to take; None: all in ``results.jsonl``.
    """
    rows, latencies = (Journal(folder / name, mine=False).entries for name in (RESULTS, LATENCIES))
    return [
        {**rows[key], "latency": latencies[key]["latency"]} if _is_known(rows[key], latencies.get(key)) else rows[key]
        for key in (rows if keys is None else keys)
        if key in rows
    ]


def _is_known(row: Mapping[str, Any], latency: Mapping[str, Any] | None) -> bool:
    return latency is not None and latency["digest"] == row.get("digest")


def _is_whole(folder: Path, row: Mapping[str, Any]) -> bool:
    """Whether the file of a row is there as it was written; failed rows have none."""
    if "error" in row:
        return True
    try:
        return file_digest(folder / row["file"]) == row["digest"]
    except OSError:
        return False
