"""Lines in a store: an object each until they are one file; on disk they are tested with what they make up, rows."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

pytest.importorskip("fsspec")

from tests.support.stores import OddStore, memory_store, odd_store
from tfmpq.storage import Remote
from tfmpq.sweep.lines import add_line, read_lines, write_lines
from tfmpq.sweep.results import Journal


@pytest.fixture
def path() -> Iterator[Remote]:
    with memory_store():
        yield Remote("memory://bucket/fleet/results.jsonl")


def test_lines_are_objects_until_they_are_written_anew(path: Remote):
    assert read_lines(path) == b""
    add_line(path, "b", b"b\n")
    add_line(path, "a", b"a\n")
    assert not path.exists()
    assert read_lines(path) == b"a\nb\n"
    write_lines(path, b"b\na\n", ["a", "b"])
    assert (path.parent / "results").files() == {}
    add_line(path, "c", b"c\n")
    assert read_lines(path) == b"b\na\nc\n"
    write_lines(path, b"b\n", ["a", "b"])  # c is another process's
    assert read_lines(path) == b"b\nc\n"


def test_what_is_written_anew_while_it_is_read_is_not_missed():
    with odd_store():
        path = Remote("odd://bucket/results.jsonl")
        add_line(path, "a", b"a\n")

        def meanwhile(name: str, there: bool) -> None:
            OddStore.watch = staticmethod(lambda name, there: None)
            write_lines(path, b"a\n", ["a"])

        OddStore.watch = staticmethod(meanwhile)  # as soon as the first object is asked for
        assert read_lines(path) == b"a\n"
        assert (path.parent / "results").files() == {}


def test_rows_are_there_once_whenever_their_file_was_being_written(path: Remote):
    journal = Journal(path)
    for key in ("a", "b"):
        journal.append({"key": key})
    path.write_bytes(b'{"key": "a"}\n{"key": "b"}\n')  # ended before the objects went
    again = Journal(path)
    assert list(again.entries) == ["a", "b"]
    again.append({"key": "c"})
    again.close()
    assert path.read_bytes() == b'{"key": "a"}\n{"key": "b"}\n{"key": "c"}\n'
    assert (path.parent / "results").files() == {}
    assert list(Journal(path, mine=False).entries) == ["a", "b", "c"]
