"""Versions, and the digest of this package's own sources."""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np
import pytest

from tfmpq.cache import versions as module


def test_all_that_computes_is_named():
    found = module.versions()
    assert found["numpy"] == np.__version__
    assert found["sources"] == module.sources_digest()
    assert {"tfmpq", "python", "machine", "tensorflow", "ai-edge-litert", "numba"} <= found.keys()


def test_a_package_that_is_not_there_has_no_version(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "_PACKAGES", ("there-is-none-of-this-name",))
    assert module.versions.__wrapped__()["there-is-none-of-this-name"] == ""


def test_any_change_of_the_sources_changes_the_digest(tmp_path, monkeypatch: pytest.MonkeyPatch):
    roots = tmp_path / "first", tmp_path / "second"
    for root in roots:
        (root / "inner").mkdir(parents=True)
    monkeypatch.setattr(module, "_SOURCES", roots)
    seen = set()
    for path, text in (("a.py", "1"), ("a.py", "2"), ("inner/a.py", "2"), ("table.json", "{}")):
        (roots[1] / path).write_text(text)
        seen.add(module.sources_digest.__wrapped__())
    assert len(seen) == 4


def test_a_source_that_was_written_to_after_the_import_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "_SOURCES", (tmp_path,))
    assert module.changed_sources() is None
    (tmp_path / "a.py").write_text("1")
    os.utime(tmp_path / "a.py", (0, 0))  # as a copy that keeps times does
    assert "a.py' was changed" in str(module.changed_sources())
    monkeypatch.setattr("converters.IMPORTED", time.time() + 60)
    assert module.changed_sources() is None
