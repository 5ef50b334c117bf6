"""A page loads nothing, runs nothing but its own script whatever is in it, and is the same each time."""

from __future__ import annotations

import base64
import hashlib
import json
import re

import pytest

from tests.support.pages import HOSTILE, everything, read_page, report, sweep
from tfmpq.html.page import Page, Section, save_page, to_html
from tfmpq.html.tags import tag


def hash_of(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


@pytest.mark.parametrize("hostile", [False, True])
@pytest.mark.parametrize("kind", ["conversion", "sweep"])
def test_nothing_is_loaded_and_only_its_own_script_runs(kind: str, hostile: bool):
    if kind == "conversion":
        made = report(5, name=HOSTILE + "{}") if hostile else report(5)
        page = made.page(HOSTILE if hostile else "net.tflite")
    else:
        page = sweep(2, 2, 3, name=HOSTILE + "{}") if hostile else sweep(2, 2, 3)
    text = to_html(page)
    assert text == to_html(page)
    tree = read_page(text)
    # Links stay in the page, pictures are in it, and nothing else can name another place.
    for element in everything(tree):
        for name, value in element.attributes.items():
            assert not name.startswith("on"), (element.name, name)
            assert name != "style"
            if name in ("href", "src"):
                assert value is not None
                assert value.startswith(("#", "data:image/png;base64,"))
        assert element.name not in ("link", "iframe", "object", "embed", "base", "form")
    assert not re.findall(
        r"(?i)https?://|@import|url\(|\bfetch\(|XMLHttp|\bimport\(", text.replace("http://www.w3.org/2000/svg", "")
    )
    scripts = [script for script in tree.all("script") if script.attributes.get("type") != "application/json"]
    assert len(scripts) == 1
    (style,) = tree.all("style")
    (policy,) = tree.all("meta", http_equiv="Content-Security-Policy")
    rules = dict(rule.split(" ", 1) for rule in str(policy.attributes["content"]).split("; "))
    assert rules["default-src"] == "'none'"
    assert rules["script-src"] == hash_of(scripts[0].text())  # no other script, and no 'unsafe-inline'
    assert rules["style-src"] == hash_of(style.text())
    text.encode()  # no lone surrogate


def test_data_end_no_element():
    text = to_html(Page("a", "b", (), {"name": "</script><!--", "value": float("inf")}))
    (data,) = read_page(text).all("script", type="application/json")
    assert json.loads(data.text()) == {"name": "</script><!--", "value": None}


def test_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "page.html"
    page = Page("a", "b", (Section("one", "1", tag("p", "text")),))
    save_page(path, page)
    assert path.read_text("utf-8") == to_html(page)

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(OSError, match="No space left"):
        save_page(path, Page("c", "d", ()))
    assert path.read_text("utf-8") == to_html(page)
