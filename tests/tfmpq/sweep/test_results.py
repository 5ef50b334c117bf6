"""Rows on disk: torn lines, full disks, rows that are not asked for any more."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from typing import Any

import pytest

from converters.errors import FileFormatError
from tfmpq.sweep.identity import bytes_digest
from tfmpq.sweep.results import FORMER, LATENCIES, RESULTS, Journal, open_results, read_results


def row(folder: Path, key: str, **more: Any) -> dict[str, Any]:
    """A row whose file is there."""
    path = folder / f"files/{key}.tflite"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(key.encode())
    return {"key": key, "file": f"files/{key}.tflite", "digest": bytes_digest(key.encode()), **more}


def failed(key: str) -> dict[str, Any]:
    return {"key": key, "file": f"files/{key}.tflite", "error": {"type": "DataError", "message": "broke"}}


def lines(path: Path) -> list[str]:
    return [json.loads(line)["key"] for line in path.read_text().splitlines()]


def test_a_line_that_a_process_was_ended_in_is_dropped_by_the_next_owner_only(tmp_path: Path):
    path = tmp_path / RESULTS
    journal = Journal(path)
    for key in ("a", "b"):
        journal.append({"key": key, "text": "line\nbreak \u2028"})
    whole = path.read_bytes()
    for end in range(len(whole) + 1):
        path.write_bytes(whole[:end])
        kept = ["a", "b"][: whole[:end].count(b"\n")]
        assert list(Journal(path, mine=False).entries) == kept
        assert path.read_bytes() == whole[:end]
        again = Journal(path)
        assert list(again.entries) == kept
        again.append({"key": "c"})
        assert lines(path) == [*kept, "c"]


def test_a_full_disk_leaves_no_part_of_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    journal = Journal(tmp_path / RESULTS)
    journal.append({"key": "a"})
    before, write = (tmp_path / RESULTS).read_bytes(), os.write
    room = [3]

    def little(descriptor: int, content: bytes) -> int:
        if not room:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(descriptor, content[: room.pop()])

    monkeypatch.setattr(os, "write", little)
    with pytest.raises(OSError, match="No space left"):
        journal.append({"key": "b"})
    assert (tmp_path / RESULTS).read_bytes() == before
    assert list(journal.entries) == ["a"]


def test_rows_that_are_not_asked_for_are_kept_apart_and_come_back(tmp_path: Path):
    journal = open_results(tmp_path, {"a", "b", "c"})
    for key in ("a", "b", "c"):
        journal.append(row(tmp_path, key))
    assert list(open_results(tmp_path, {"b", "d"}).entries) == ["b"]
    assert (lines(tmp_path / RESULTS), lines(tmp_path / FORMER)) == (["b"], ["a", "c"])
    (tmp_path / "files/c.tflite").write_bytes(b"another")  # what a row of another spec has written there
    assert list(open_results(tmp_path, {"a", "b", "c"}).entries) == ["b", "a"]
    assert (lines(tmp_path / RESULTS), lines(tmp_path / FORMER)) == (["b", "a"], ["c"])


def test_a_row_whose_file_is_gone_is_done_again(tmp_path: Path):
    journal = open_results(tmp_path, {"a", "b"})
    for key in ("a", "b"):
        journal.append(row(tmp_path, key))
    (tmp_path / "files/a.tflite").unlink()
    assert list(open_results(tmp_path, {"a", "b"}).entries) == ["b"]


def test_failed_rows_stay_until_they_are_to_be_done_again(tmp_path: Path):
    journal = open_results(tmp_path, {"a", "b"})
    journal.append(failed("a"))
    journal.append(row(tmp_path, "b"))
    assert list(open_results(tmp_path, {"a", "b"}).entries) == ["a", "b"]
    assert list(open_results(tmp_path, {"a", "b"}, retry_failed=True).entries) == ["b"]
    assert lines(tmp_path / RESULTS) == ["b"]


def test_a_damaged_line_is_named(tmp_path: Path):
    (tmp_path / RESULTS).write_bytes(b'{"key": "a"}\n{"ke\n')
    with pytest.raises(FileFormatError, match="line 2, is no row"):
        open_results(tmp_path, set())


def test_a_latency_is_that_of_the_file_it_was_measured_on(tmp_path: Path):
    journal, latencies = open_results(tmp_path, {"a", "b"}), Journal(tmp_path / LATENCIES)
    for key in ("a", "b"):
        journal.append(row(tmp_path, key))
    latencies.append({"key": "a", "digest": bytes_digest(b"a"), "latency": 0.5})
    latencies.append({"key": "b", "digest": bytes_digest(b"former"), "latency": 0.5})
    assert [found.get("latency") for found in read_results(tmp_path, ["b", "a", "absent"])] == [None, 0.5]
