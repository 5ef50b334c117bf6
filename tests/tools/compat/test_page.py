"""The page in the repository is one that `make compat` can write anew, and has every runtime that there is."""

from __future__ import annotations

from tools.compat.environments import ROOT
from tools.compat.runtimes import RUNTIMES
from tools.compat.table import insert


def test_the_page():
    page = (ROOT / "docs" / "compatibility.md").read_text()
    insert(page, "")
    assert [runtime.title for runtime in RUNTIMES if f"| {runtime.title} |" not in page] == []
