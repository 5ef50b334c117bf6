"""Memory is given back where that is possible, and nothing happens elsewhere."""

from __future__ import annotations

import ctypes

import pytest

from converters.runtime.memory import release_memory


def test_another_c_library_is_no_error(monkeypatch: pytest.MonkeyPatch):
    release_memory()
    monkeypatch.setattr(ctypes, "CDLL", lambda name: object())  # without malloc_trim
    release_memory()
