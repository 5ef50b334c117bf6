"""Which cache a path or a URL is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from converters.errors import OptionError
from tfmpq.cache.anywhere import open_store
from tfmpq.cache.store import Store


def test_paths_and_urls_of_files_are_folders_on_disk(tmp_path: Path):
    for path in (tmp_path, str(tmp_path), f"file://{tmp_path}"):
        assert open_store(path) == Store(tmp_path)


def test_a_url_is_a_folder_in_a_store():
    pytest.importorskip("fsspec")
    from tests.support.stores import memory_store
    from tfmpq.cache.remote import RemoteStore
    from tfmpq.storage import Remote

    with memory_store():
        assert open_store("memory://bucket/cache/") == RemoteStore(Remote("memory://bucket/cache"))


@pytest.mark.parametrize("path", ["", 5, "a\0b", "s3://"])
def test_what_is_neither_is_said(path: Any):
    with pytest.raises(OptionError, match="folder"):
        open_store(path)
