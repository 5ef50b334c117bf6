"""Rows on disk: one line each as soon as it is there, whole or not at all, whenever the process ends."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Any

from converters.errors import FileFormatError
from tfmpq.storage import Place, Remote, fetched
from tfmpq.sweep.identity import file_digest
from tfmpq.sweep.lines import add_line, read_lines, write_lines

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

    def __init__(self, path: Place, *, mine: bool = True) -> None:
        self._path = path
        self.entries: dict[str, Plain] = {}  # by key
        whole = read_lines(path)
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
            write_lines(path, whole, self.entries)

    def append(self, entry: Plain) -> None:
        """Adds a row: on disk when this returns.

        Raises:
            OSError: The disk is full, say; the file is as it was.
        """
        add_line(self._path, entry["key"], _line(entry))
        self.entries[entry["key"]] = entry

    def replace(self, entries: Mapping[str, Plain]) -> None:
        """Writes all rows anew, in full or not at all."""
        if list(entries.items()) != list(self.entries.items()):
            self._rewrite(entries)
        self.entries = dict(entries)

    def close(self) -> None:
        """Makes one file of all rows, where it is not one yet: in a store, a row that is added is an object."""
        if isinstance(self._path, Remote) and self.entries:
            self._rewrite(self.entries)

    def _rewrite(self, entries: Mapping[str, Plain]) -> None:
        write_lines(self._path, b"".join(map(_line, entries.values())), self.entries)


def _line(entry: Plain) -> bytes:
    return json.dumps(entry).encode() + b"\n"


def open_results(folder: Place, keys: Collection[str], *, retry_failed: bool = False) -> Journal:
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


def read_results(folder: Place, keys: Collection[str] | None = None) -> list[Plain]:
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


def _is_whole(folder: Place, row: Mapping[str, Any]) -> bool:
    """Whether the file of a row is there as it was written; failed rows have none."""
    if "error" in row:
        return True
    try:
        with fetched(folder / row["file"]) as file:
            return file_digest(file) == row["digest"]
    except OSError as error:
        if isinstance(folder, Remote) and not isinstance(error, FileNotFoundError):
            raise  # the store cannot be reached, which says nothing of the file
        return False
