"""The folder of the cache: who may use it, how large it gets, and that nothing in it stops a conversion."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from converters.errors import CacheWarning, OptionError
from tfmpq.cache.store import Store, default_folder

KEYS = [f"{i:040x}" for i in range(6)]
KIND = "prepared"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(tmp_path / "cache")


def filled(store: Store, count: int = 3) -> list[Path]:
    """Entries that were used one after the other."""
    paths = []
    for number, key in enumerate(KEYS[:count]):
        store.put(key, KIND, {"model": key[-1]}, b"x" * 1000)
        paths.append(store.folder / f"{key}.{KIND}")
        os.utime(paths[-1], (number, number))
    return paths


def test_what_is_put_is_got(store: Store):
    assert store.get(KEYS[0], KIND) is None
    store.put(KEYS[0], KIND, {}, {"a": 1})
    assert store.get(KEYS[0], KIND) == {"a": 1}
    assert store.get(KEYS[1], KIND) is None
    assert store.get(KEYS[0], "model") is None


def test_the_folder_is_made_for_its_owner(store: Store):
    filled(store, 1)
    assert store.folder.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("mode", [0o720, 0o702, 0o777, 0o1777])
def test_a_folder_that_others_may_write_to_is_refused(tmp_path: Path, mode: int):
    tmp_path.chmod(mode)
    with pytest.raises(OptionError, match="can be written to by others"):
        Store.open(tmp_path)
    tmp_path.chmod(0o755)
    Store.open(tmp_path)


def test_a_folder_of_another_user_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(os, "geteuid", lambda: tmp_path.stat().st_uid + 1)
    if tmp_path.stat().st_uid == 0:
        try:
            os.chown(tmp_path, 12345, -1)
        except OSError:
            pytest.skip("there are no other users in this sandbox")
    with pytest.raises(OptionError, match="belongs to another user"):
        Store.open(tmp_path)


def test_what_is_no_folder_is_refused(tmp_path: Path):
    (tmp_path / "file").write_bytes(b"")
    for path in ("file", "file/inside"):
        with pytest.raises(OptionError, match="is no folder"):
            Store.open(tmp_path / path)
    with pytest.raises(OptionError, match="no path of a cache folder"):
        Store.open("a\0b")
    for path in ("", "~there-is-no-such-user/x"):
        with pytest.raises(OptionError, match=f"cache='{path}' is no folder"):
            Store.open(path)


@pytest.mark.parametrize("content", [b"", b"tfmpq cache 1\n", b"junk" * 100])
def test_a_damaged_entry_is_dropped_with_a_word(store: Store, content: bytes):
    (path,) = filled(store, 1)
    path.write_bytes(content)
    with pytest.warns(CacheWarning, match="left out and made anew"):
        assert store.get(KEYS[0], KIND) is None
    assert not path.exists()


@pytest.mark.parametrize("suffix", ["prepared", "model"])
def test_an_entry_under_the_name_of_another_is_dropped(store: Store, suffix: str):
    """It is whole, but would give another network."""
    (path,) = filled(store, 1)
    path.rename(store.folder / (f"{KEYS[1]}.{KIND}" if suffix == KIND else f"{KEYS[0]}.{suffix}"))
    with pytest.warns(CacheWarning, match="under another name"):
        assert store.get(KEYS[1] if suffix == KIND else KEYS[0], suffix) is None
    assert os.listdir(store.folder) == []


def test_what_is_no_file_is_no_entry(store: Store):
    filled(store, 1)
    others = [store.folder / f"{key}.{KIND}" for key in KEYS[1:3]]
    others[0].mkdir()
    os.mkfifo(others[1])
    assert [entry.path.stem for entry in store.clear()] == [KEYS[0]]
    with pytest.warns(CacheWarning, match="made anew"):
        assert store.get(KEYS[1], KIND) is None
    with pytest.warns(CacheWarning, match="nothing is kept"):
        store.put(KEYS[1], KIND, {}, b"x")


@pytest.mark.parametrize("step", ["mkdir", "fsync", "replace"])
def test_a_full_disk_is_a_word(store: Store, monkeypatch: pytest.MonkeyPatch, step: str):
    def fail(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path if step == "mkdir" else os, step, fail)
    with pytest.warns(CacheWarning, match="nothing is kept of this conversion: .*No space left"):
        store.put(KEYS[0], KIND, {}, b"x")
    assert not store.folder.exists() or not os.listdir(store.folder)


def test_a_folder_that_became_writable_for_others_keeps_nothing(store: Store):
    filled(store, 1)
    store.folder.chmod(0o777)
    with pytest.warns(CacheWarning, match="can be written to by others"):
        store.put(KEYS[1], KIND, {}, b"x")


def test_what_cannot_be_kept_is_a_word(store: Store):
    with pytest.warns(CacheWarning, match="it holds"):
        store.put(KEYS[0], KIND, {}, lambda: 0)
    assert os.listdir(store.folder) == []


def test_reading_an_entry_saves_it_from_those_that_are_removed(tmp_path: Path):
    store = Store.open(tmp_path / "cache")
    paths = filled(store, 3)
    store.get(KEYS[0], KIND)
    limited = Store(store.folder, max_bytes=3 * paths[0].stat().st_size + 10)
    limited.put(KEYS[4], KIND, {"model": "4"}, b"x" * 1000)
    assert {path.stem for path in store.folder.iterdir()} == {KEYS[0], KEYS[2], KEYS[4]}


def test_an_entry_larger_than_the_limit_is_not_kept(store: Store):
    with pytest.warns(CacheWarning, match=r"takes more than the cache's 1.0 kB"):
        Store(store.folder, max_bytes=1000).put(KEYS[0], KIND, {}, b"x" * 2000)
    assert os.listdir(store.folder) == []


def test_entries_are_listed_last_used_first_and_cleared_alone(store: Store):
    paths = filled(store)
    others = [store.folder / name for name in ("notes.txt", f"{KEYS[0]}.other", f"{KEYS[0][:-1]}.{KIND}")]
    forgotten, fresh = (store.folder / f".{KEYS[0]}.{KIND}.{digit * 8}.tmp" for digit in "ab")
    for path in (*others, forgotten, fresh):
        path.write_bytes(b"")
    os.utime(forgotten, (0, 0))
    paths[1].write_bytes(b"junk")
    os.utime(paths[1], (1, 1))
    found = store.entries()
    assert [(entry.path, entry.header.get("model")) for entry in found] == [
        (paths[2], "2"), (paths[1], None), (paths[0], "0"),
    ]  # fmt: skip
    assert [entry.path for entry in store.clear(found[0].bytes)] == paths[1::-1]
    assert store.clear()[0].path == paths[2]
    assert set(store.folder.iterdir()) == {*others, fresh}


def test_nothing_is_there_before_anything_is_kept(store: Store):
    assert (store.entries(), store.clear()) == ([], [])


_RACE = """
import sys, warnings
warnings.simplefilter("error")
from tfmpq.cache.store import Store
store, key = Store.open(sys.argv[1]), sys.argv[2]
for round in range(100):
    store.put(key, "prepared", {}, [sys.argv[3]] * 5000)
    assert store.get(key, "prepared")[0] in ("a", "b")
"""


def test_two_processes_write_the_same_entry(tmp_path: Path):
    """Whoever reads meanwhile finds what one of them wrote, whole."""
    command: list[Any] = [sys.executable, "-c", _RACE, tmp_path / "cache", KEYS[0]]
    both = [subprocess.Popen([*command, name], stderr=subprocess.PIPE) for name in "ab"]
    for process in both:
        _, errors = process.communicate()
        assert process.returncode == 0, errors.decode()
    assert os.listdir(tmp_path / "cache") == [f"{KEYS[0]}.{KIND}"]


@pytest.mark.parametrize(
    ("base", "expected"), [("/x", "/x/tfmpq"), ("relative", "/home/me/.cache/tfmpq"), ("", "/home/me/.cache/tfmpq")]
)
def test_the_usual_folder(monkeypatch: pytest.MonkeyPatch, base: str, expected: str):
    monkeypatch.setenv("XDG_CACHE_HOME", base)
    monkeypatch.setenv("HOME", "/home/me")
    assert default_folder() == Path(expected)
