"""Paths and URLs under the same names, and every failure of a store as one line."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fsspec")

from converters.errors import MissingDependencyError, OptionError
from tests.support.stores import OddStore, memory_store, odd_store
from tfmpq.storage import Place, Remote, fetched, filled, is_url, place, placed, remove_folder


@pytest.fixture(params=["disk", "memory"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    with memory_store():
        yield tmp_path / "x" if request.param == "disk" else place("memory://bucket/x")


@pytest.fixture
def remote() -> Iterator[Remote]:
    with memory_store():
        yield Remote("memory://bucket/x")


def test_what_is_a_path_and_what_a_url(tmp_path: Path):
    for text in ("net.tflite", "a:b", "C:/x", f"file://{tmp_path}"):
        assert isinstance(place(text), Path)
        assert not is_url(text)
    assert place(f"file://{tmp_path}/a b") == tmp_path / "a b"
    assert place("memory://bucket/x/") == Remote("memory://bucket/x")
    assert (Remote("memory://b/x.y").stem, Remote("memory://b/x.y").parent) == ("x", Remote("memory://b"))
    for text in ("memory://", "s3:///", "file://"):
        with pytest.raises(OptionError, match="names nothing but the store"):
            place(text)


def test_file_urls_need_no_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "fsspec.core", None)
    with placed(place(f"file://{tmp_path}/new/x")) as path:
        path.write_bytes(b"x")
    assert (tmp_path / "new/x").read_bytes() == b"x"


def test_files_are_written_and_read_in_the_same_way(folder: Place):
    for name, content in (("a/b.json", b"1"), ("c.json", b"23")):
        with placed(folder / name) as path:
            path.write_bytes(content)
            path.with_name("beside").write_bytes(b"x")
    assert (folder / "a/b.json").read_bytes() == b"1"
    assert (folder / "a").exists()
    assert not (folder / "d").exists()
    with fetched(folder / "c.json") as path:
        assert (path.name, path.read_bytes()) == ("c.json", b"23")
    with pytest.raises(FileNotFoundError), fetched(folder / "d") as path:
        path.read_bytes()
    (folder / "c.json").unlink()
    (folder / "c.json").unlink(missing_ok=True)
    with pytest.raises(FileNotFoundError):
        (folder / "c.json").unlink()
    remove_folder(folder / "a")
    assert not (folder / "a").exists()
    remove_folder(folder / "a")


def test_what_was_being_written_when_something_failed_is_not_put(remote: Remote):
    with suppress(ZeroDivisionError), placed(remote / "a") as path:
        path.write_bytes(b"half")
        raise ZeroDivisionError
    assert not remote.exists()


def test_a_file_is_put_after_what_is_beside_it():
    seen: list[str] = []
    watch = lambda path, there: seen.append(path.rpartition("/")[2]) if there else None  # noqa: E731
    with odd_store(watch), filled(Remote("odd://b"), last="b") as folder:
        for name in ("a", "b", "c"):
            (folder / name).write_bytes(b"")
    assert seen == ["a", "c", "b"]


def test_objects_of_a_folder(remote: Remote):
    assert remote.files() == {}
    for name in ("a", "b", "c/d"):
        (remote / name).write_bytes(name.encode())
    assert remote.files() == {"a": 1, "b": 1}
    assert remote.contents(["a", "gone", "b"]) == {"a": b"a", "b": b"b"}
    assert (remote / "a").read_bytes(0) == b""
    first = (remote / "a").version()
    (remote / "a").write_bytes(b"other")
    assert (remote / "a").version() != first
    assert (remote / "a").modified() > 0
    remote.remove(["a", "b"])
    remote.remove([])
    assert remote.files() == {}
    with pytest.raises(IsADirectoryError, match="'memory://bucket/x'"), fetched(remote):
        pass


def test_an_object_is_created_once(remote: Remote):
    remote.create(b"first")
    with pytest.raises(FileExistsError, match="'memory://bucket/x'"):
        remote.create(b"second")
    assert remote.read_bytes() == b"first"


def test_where_folders_are_real_ones_they_are_made(tmp_path: Path):
    folder = Remote(f"local://{tmp_path}/a/b")
    (folder / "c/d").write_bytes(b"1")
    (folder / "e/f").create(b"2")
    with placed(folder / "g/h") as path:
        path.write_bytes(b"3")
    found = {
        str(path.relative_to(tmp_path / "a/b")): path.read_bytes() for path in tmp_path.rglob("?") if path.is_file()
    }
    assert found == {"c/d": b"1", "e/f": b"2", "g/h": b"3"}
    with pytest.raises(FileExistsError, match="'local://"):
        (folder / "e/f").create(b"4")
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="/file/x/y'"):
        Remote(f"local://{tmp_path}/file/x/y").write_bytes(b"")


def test_a_bucket_is_never_made(monkeypatch: pytest.MonkeyPatch):
    """Stores of buckets would make those by ``makedirs``."""

    def refuse(path: str, there: bool) -> None:
        raise FileNotFoundError("The specified bucket does not exist")

    with odd_store(refuse):
        monkeypatch.setattr(OddStore, "makedirs", lambda *_, **__: pytest.fail("it makes a bucket"))
        for url in ("odd://mistyped/x/y", "odd://mistyped"):
            with pytest.raises(FileNotFoundError, match="bucket does not exist"):
                Remote(url).write_bytes(b"")


def test_an_answer_that_is_lost_is_not_the_object():
    def lose(path: str, there: bool) -> None:
        if there:
            raise ConnectionResetError("the other end is gone")

    with odd_store(lose):
        Remote("odd://b/x").create(b"mine")
        with pytest.raises(FileExistsError):
            Remote("odd://b/x").create(b"another")


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (RuntimeError("Unable to locate\ncredentials"), OSError, "Unable to locate credentials: 'odd://b/x'"),
        (PermissionError("Access Denied"), PermissionError, "Access Denied: 'odd://b/x'"),
        (FileNotFoundError("The specified bucket does not exist"), FileNotFoundError, "bucket does not exist: 'odd"),
        (FileNotFoundError("/b/x"), FileNotFoundError, "No such file or directory: 'odd://b/x'"),
        (OSError(28, "No space left on device"), OSError, r"\[Errno 28\] No space left on device: 'odd://b/x'"),
        (TimeoutError(), OSError, r"TimeoutError: 'odd://b/x'"),
    ],
)
def test_whatever_a_store_raises_is_an_os_error(error: Exception, kind: type[Exception], message: str):
    def fail(path: str, there: bool) -> None:
        raise error

    with odd_store(fail):
        for act in (lambda: Remote("odd://b/x").write_bytes(b""), lambda: Remote("odd://b/x").create(b"")):
            with pytest.raises(kind, match=message) as raised:
                act()
            assert "\n" not in str(raised.value)


def test_what_is_missing_is_said(monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(OptionError, match="'nope://b/x': Protocol not known: nope"):
        place("nope://b/x")
    monkeypatch.setitem(sys.modules, "s3fs", None)
    with pytest.raises(MissingDependencyError, match="'s3://b/x' needs a further package: Install s3fs"):
        place("s3://b/x")
    monkeypatch.setitem(sys.modules, "fsspec.core", None)
    with pytest.raises(MissingDependencyError, match=r"needs the package fsspec: pip install 'tfmpq\[remote\]'"):
        place("memory://b/x")


def test_credentials_that_are_looked_for_at_once(monkeypatch: pytest.MonkeyPatch):
    def fail(self: Any, *arguments: Any, **options: Any) -> None:
        raise RuntimeError("no default credentials")

    with odd_store():
        monkeypatch.setattr(OddStore, "__init__", fail)
        with pytest.raises(OSError, match="no default credentials: 'odd://b/x'"):
            place("odd://b/x")
