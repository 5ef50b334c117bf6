"""Models and data by URL: what is a URL stays one, and is a file where it is read."""

from __future__ import annotations

from pathlib import Path

import pytest

from tfmpq.sweep.inputs import absolute_paths, here, missing

FIELDS = {
    "path": "nets/../net.tflite",
    "data": "parts/*.npz",
    "labelled": "s3://bucket/x//y.npz",
    "classes": "file:///a/b",
}


def test_paths_are_relative_to_the_spec_and_urls_to_nothing(tmp_path: Path):
    assert absolute_paths({**FIELDS, "views": 3}, tmp_path) == {
        "path": str(tmp_path / "net.tflite"),
        "data": str(tmp_path / "parts/*.npz"),
        "labelled": FIELDS["labelled"],
        "classes": "/a/b",
    }
    assert absolute_paths({"data": "package.module:samples"}, tmp_path) == {"data": "package.module:samples"}


def test_what_is_missing_is_told(tmp_path: Path):
    assert missing(str(tmp_path)) is None
    assert missing(str(tmp_path / "x")) == f"'{tmp_path}/x' does not exist"


def test_objects_are_copied_once_for_each_of_their_versions():
    pytest.importorskip("fsspec")
    from tests.support.stores import OddStore, odd_store
    from tfmpq.storage import Remote

    read: list[str] = []
    with odd_store():
        net = Remote("odd://bucket/net.tflite")
        net.write_bytes(b"first")
        OddStore.watch = staticmethod(lambda path, there: read.append(path))
        model = {"name": "net", "path": net.url, "data": "/x/*.npz", "labelled": None, "max_samples": 3}
        for _ in range(2):
            found = here(model)
            assert {**found, "path": None} == {**model, "path": None}
            assert Path(found["path"]).name == "net.tflite"
            assert Path(found["path"]).read_bytes() == b"first"
        assert len(read) == 1
        net.write_bytes(b"second")
        assert Path(here(model)["path"]).read_bytes() == b"second"
        (net.parent / "folder/a").write_bytes(b"")
        with pytest.raises(IsADirectoryError, match="a folder, where one object is read: 'odd://bucket/folder'"):
            here({"data": "odd://bucket/folder"})


def test_what_is_missing_or_no_single_object_in_a_store_is_told():
    pytest.importorskip("fsspec")
    from tests.support.stores import odd_store
    from tfmpq.storage import Remote

    with odd_store():
        Remote("odd://bucket/folder/a.npz").write_bytes(b"")
        assert missing("odd://bucket/folder/a.npz") is None
        assert missing("odd://bucket/gone") == "'odd://bucket/gone' does not exist"
        for url, why in (
            ("odd://bucket/folder", "is a folder: of a store single objects are read; give the URL of one"),
            ("odd://bucket/folder/*.npz", "does not exist: globs name no objects, single objects are read; give the"),
            ("odd://", "is no URL of a file: it names nothing but the store"),
        ):
            found = missing(url)
            assert found is not None
            assert found.startswith(f"'{url}' {why}")
