"""The cache in a store: what is kept, listed, cleared and dropped, and a store that fails."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

pytest.importorskip("fsspec")

from converters.errors import CacheWarning
from tests.support.stores import OddStore, memory_store, odd_store
from tfmpq.cache.anywhere import AnyStore, open_store
from tfmpq.storage import Remote

KEYS = [f"{i:040x}" for i in range(6)]
KIND = "prepared"


@pytest.fixture
def in_memory() -> Iterator[AnyStore]:
    """A cache in a store."""
    with memory_store():
        yield open_store("memory://bucket/cache")


def test_what_is_put_into_a_store_is_got(in_memory: AnyStore):
    assert in_memory.get(KEYS[0], KIND) is None
    in_memory.put(KEYS[0], KIND, {}, {"a": 1})
    assert open_store("memory://bucket/cache/").get(KEYS[0], KIND) == {"a": 1}
    assert in_memory.get(KEYS[0], "model") is None
    with pytest.warns(CacheWarning, match="it holds"):
        in_memory.put(KEYS[1], KIND, {}, lambda: 0)
    assert in_memory.get(KEYS[1], KIND) is None


def test_entries_in_a_store_are_listed_and_cleared_by_when_they_were_written(in_memory: AnyStore):
    for key in KEYS[:3]:
        in_memory.put(key, KIND, {"model": key[-1]}, b"x" * 100_000)  # longer than what is read for the list
    (in_memory.folder / "notes.txt").write_bytes(b"mine")
    found = in_memory.entries()
    assert [entry.header.get("model") for entry in found] == ["2", "1", "0"]
    assert [entry.bytes for entry in found] == [len(entry.path.read_bytes()) for entry in found]
    assert [entry.path.name for entry in in_memory.clear(found[0].bytes)] == [f"{key}.{KIND}" for key in KEYS[1::-1]]
    assert [entry.header["model"] for entry in in_memory.clear()] == ["2"]
    assert sorted(Remote("memory://bucket/cache").files()) == ["notes.txt", "tfmpq.cache"]


@pytest.mark.parametrize("content", [b"", b"tfmpq cache 1\n", b"junk" * 100])
def test_a_damaged_entry_of_a_store_is_dropped_with_a_word(in_memory: AnyStore, content: bytes):
    path = in_memory.folder / f"{KEYS[0]}.{KIND}"
    path.write_bytes(content)
    assert [entry.header for entry in in_memory.entries()] == [{}]
    with pytest.warns(CacheWarning, match=f"'{path}' is left out and made anew"):
        assert in_memory.get(KEYS[0], KIND) is None
    assert not path.exists()


def test_a_store_that_cannot_be_reached_stops_no_conversion_and_loses_no_entry():
    def refuse(path: str, there: bool) -> None:
        raise PermissionError("Access Denied")

    with odd_store():
        store = open_store("odd://bucket/cache")
        store.put(KEYS[0], KIND, {}, b"x")
        OddStore.watch = staticmethod(refuse)
        with pytest.warns(CacheWarning, match=r"left out: \[Errno 13\] Access Denied: 'odd://"):
            assert store.get(KEYS[0], KIND) is None
        with pytest.warns(CacheWarning, match="nothing is kept of this conversion: .*Access Denied"):
            store.put(KEYS[1], KIND, {}, b"x")
        with pytest.raises(PermissionError, match=r"Access Denied: 'odd://bucket/cache/tfmpq\.cache'"):
            open_store("odd://bucket/cache")
        OddStore.watch = staticmethod(lambda path, there: None)
        assert store.get(KEYS[0], KIND) == b"x"


def test_a_store_that_is_only_read_from():
    with odd_store():
        open_store("odd://bucket/cache").put(KEYS[0], KIND, {}, b"x")
        before = dict(OddStore.store)
        assert open_store("odd://bucket/cache").get(KEYS[0], KIND) == b"x"
        assert OddStore.store == before
