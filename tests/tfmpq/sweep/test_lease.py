"""The lock of a folder in a store: one owner, who is named; one that is gone or silent is followed by another."""

from __future__ import annotations

import json
import os
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fsspec")

from converters.errors import OptionError
from tests.support.stores import memory_store
from tfmpq.storage import Remote
from tfmpq.sweep import lease
from tfmpq.sweep.lease import leased
from tfmpq.sweep.lock import held_file

ELSEWHERE = {"user": "ada", "host": "far", "pid": 7, "since": "2026-01-01 00:00:00 +0000", "token": "0" * 16}


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Remote]:
    """A folder, and seconds that are hundredths."""
    for name, seconds in (("_BEAT", 0.05), ("_PATIENCE", 0.4), ("_LOOK", 0.01)):
        monkeypatch.setattr(lease, name, seconds)
    with memory_store():
        yield Remote("memory://bucket/fleet")


def lock(folder: Remote, number: int = 1) -> Remote:
    return folder / "sweep.lock" / f"{number:08}.json"


def write(file: Remote, **fields: Any) -> None:
    file.write_bytes(json.dumps({**ELSEWHERE, **fields}).encode())


def test_a_second_owner_on_the_machine_is_refused_at_once_until_the_first_ends(folder: Remote):
    with leased(folder) as check:
        check()
        with pytest.raises(OptionError, match=rf"another sweep is running in '{folder}'.* \(process {os.getpid()}\)"):
            leased(folder).__enter__()
    assert json.loads(lock(folder).read_bytes())["over"]
    with leased(folder):
        assert list(lock(folder).parent.files()) == ["00000002.json"]


def test_an_owner_elsewhere_that_counts_is_named(folder: Remote):
    write(lock(folder), count=1)
    timer = threading.Timer(0.1, write, (lock(folder),), {"count": 2})
    timer.start()
    with pytest.raises(OptionError, match=r"of ada on far \(process 7\), since 2026-01-01"):
        leased(folder).__enter__()
    timer.join()


@pytest.mark.parametrize("content", [json.dumps(ELSEWHERE).encode(), b"{", b"[]", b'{"token": "../../x"}'])
def test_one_that_is_silent_is_followed_whatever_its_clock_says(folder: Remote, content: bytes):
    lock(folder, 4).write_bytes(content)
    start = time.monotonic()
    with leased(folder):
        assert time.monotonic() - start >= 0.4
        assert list(lock(folder).parent.files()) == ["00000005.json"]


def test_one_of_this_machine_that_has_ended_is_followed_at_once(folder: Remote, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(lease, "_PATIENCE", 60.0)
    sign = Path(tempfile.gettempdir(), f"tfmpq-sweep-{ELSEWHERE['token']}.lock")
    sign.touch()  # what a killed process leaves; nobody holds it
    write(lock(folder))
    with leased(folder):
        assert not sign.exists()


def test_one_of_this_machine_that_lives_is_not_followed_however_silent(folder: Remote):
    sign = Path(tempfile.gettempdir(), f"tfmpq-sweep-{ELSEWHERE['token']}.lock")
    write(lock(folder))
    try:
        with held_file(sign), pytest.raises(OptionError, match="of ada on far"):
            leased(folder).__enter__()
    finally:
        sign.unlink()


def test_an_owner_that_was_followed_is_told(folder: Remote):
    with leased(folder) as check:
        write(lock(folder, 2))
        time.sleep(1.0)  # many counts
        with pytest.raises(OptionError, match="another sweep has taken over"):
            check()
        before = lock(folder).read_bytes()
    assert lock(folder).read_bytes() == before  # it says nothing any more


def test_of_two_that_begin_at_once_one_begins(folder: Remote, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(lease, "_free_number", lambda folder: 1)  # neither has seen the other
    with leased(folder), pytest.raises(OptionError, match=rf"process {os.getpid()}"):
        leased(folder).__enter__()


def test_a_store_that_is_away_for_a_moment(folder: Remote, monkeypatch: pytest.MonkeyPatch):
    usual, failed = Remote.write_bytes, threading.Event()

    def away(self: Remote, content: bytes) -> None:
        if b'"count": 1' in content:
            failed.set()
            raise OSError(5, "away", self.url)
        usual(self, content)

    monkeypatch.setattr(Remote, "write_bytes", away)
    with leased(folder) as check:
        assert failed.wait(10)
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline and b"count" not in lock(folder).read_bytes():
            time.sleep(0.01)
        check()
        assert json.loads(lock(folder).read_bytes())["count"] > 1
