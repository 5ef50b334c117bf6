"""What tells models and data apart."""

from __future__ import annotations

import os
from pathlib import Path

from tfmpq.sweep.identity import SAMPLED, bytes_digest, content_digest, data_digest, file_digest


def test_names_sizes_and_content_count_and_times_do_not(tmp_path: Path):
    for name in ("a", "b"):
        (tmp_path / "one" / name).mkdir(parents=True)
        (tmp_path / "one" / name / "x").write_bytes(name.encode())
    before = content_digest(tmp_path / "one")
    os.utime(tmp_path / "one/a/x", (1, 1))
    assert content_digest(tmp_path / "one") == data_digest(tmp_path / "one") == before
    (tmp_path / "one").rename(tmp_path / "two")
    assert content_digest(tmp_path / "two") == before  # wherever it lies
    (tmp_path / "two/a/x").write_bytes(b"c")
    changed = content_digest(tmp_path / "two")
    (tmp_path / "two/a/x").rename(tmp_path / "two/a/y")
    assert len({before, changed, content_digest(tmp_path / "two")}) == 3
    assert file_digest(tmp_path / "two/a/y") == content_digest(tmp_path / "two/a/y") == bytes_digest(b"c")


def test_of_many_files_a_part_is_read(tmp_path: Path):
    for number in range(2 * SAMPLED):
        (tmp_path / f"{number:04}").write_bytes(b"a")
    before, whole = data_digest(tmp_path), content_digest(tmp_path)
    (tmp_path / "0001").write_bytes(b"b")  # every second one is read
    assert data_digest(tmp_path) == before
    assert content_digest(tmp_path) != whole
    (tmp_path / "0001").write_bytes(b"bb")
    longer = data_digest(tmp_path)
    (tmp_path / "0002").write_bytes(b"b")
    assert len({before, longer, data_digest(tmp_path)}) == 3


def test_of_a_glob_its_files_count_and_of_a_function_its_file(tmp_path: Path):
    for name in ("a", "b"):
        (tmp_path / "one").mkdir(exist_ok=True)
        (tmp_path / "one" / f"{name}.tar").write_bytes(name.encode())
    before = data_digest(tmp_path / "one/*.tar")
    assert data_digest(tmp_path / "one/a.tar") == file_digest(tmp_path / "one/a.tar")
    (tmp_path / "one").rename(tmp_path / "two")
    assert data_digest(tmp_path / "two/*.tar") == before  # wherever they lie
    (tmp_path / "two/b.tar").write_bytes(b"c")
    changed = data_digest(tmp_path / "two/*.tar")
    (tmp_path / "f.py").write_text("def f(): pass")
    functions = {data_digest(f"{tmp_path}/f.py:f"), data_digest(f"{tmp_path}/f.py:g")}
    (tmp_path / "f.py").write_text("def f(): return 1")
    assert len({before, changed, *functions, data_digest(f"{tmp_path}/f.py:f")}) == 5


def test_content_behind_links_to_folders_counts(tmp_path: Path):
    """Weights of a SavedModel may lie elsewhere, and a link may lead back to where it is."""
    for name, content in (("model/saved_model.pb", b"graph"), ("weights/data", b"a"), ("others/data", b"b")):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
    link = tmp_path / "model/variables"
    link.symlink_to(tmp_path / "weights")
    found = [content_digest(tmp_path / "model")]
    (tmp_path / "weights/data").write_bytes(b"c")
    found.append(content_digest(tmp_path / "model"))
    link.unlink()
    link.symlink_to(tmp_path / "others")
    found.append(content_digest(tmp_path / "model"))
    (tmp_path / "model/circle").symlink_to(tmp_path / "model")
    found.append(content_digest(tmp_path / "model"))
    assert len(set(found)) == 4
    assert content_digest(tmp_path / "model") == found[-1]
