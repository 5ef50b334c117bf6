"""Versions, and the digest of this package's own sources."""

from __future__ import annotations

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
