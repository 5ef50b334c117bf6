"""Lines of values in TOML and JSON."""

from __future__ import annotations

from pathlib import Path

import pytest

from converters.errors import FileFormatError
from tfmpq.sweep.located import read_located

TOML = """# what
budgets = [
  "a",  # [
  "b",
]
[models.net]
path = "x"  # [not.a.header]
note = '''
[nothing]
'''
[[variants]]
name = "a"

[[variants]]
name = "b"
options = { lowering = "x", a.b = 1 }
[variants.more]
y = 1
[models."o.k".options]
z = 2
"""
JSON = """{
 "budgets": ["a",
   "b"], "n": -1.5e3,
 "models": {"net": {
   "path": "x\\"{", "n": 3}},
 "variants": [
   {"name": "a"},
   [1,
    2]
 ]
}"""


@pytest.mark.parametrize(
    ("place", "line"),
    [
        (("budgets",), 2),
        (("models", "net"), 6),
        (("models", "net", "path"), 7),
        (("models", "net", "note"), 8),
        (("variants", 0, "name"), 12),
        (("variants", 1), 14),
        (("variants", 1, "options", "a", "b"), 16),
        (("variants", 1, "more", "y"), 18),
        (("models", "o.k", "options", "z"), 20),
        (("models", "net", "absent"), 6),  # where it would be
        (("absent",), 1),
    ],
)
def test_toml(tmp_path: Path, place: tuple[str | int, ...], line: int):
    (tmp_path / "a.toml").write_text(TOML)
    located = read_located(tmp_path / "a.toml")
    assert located.value["variants"][1]["options"]["lowering"] == "x"
    assert located.line(place) == line


@pytest.mark.parametrize(
    ("place", "line"),
    [
        (("budgets", 1), 3),
        (("n",), 3),
        (("models", "net"), 4),
        (("models", "net", "n"), 5),
        (("variants", 0, "name"), 7),
        (("variants", 1, 0), 8),
        (("variants", 1, 1), 9),
    ],
)
def test_json(tmp_path: Path, place: tuple[str | int, ...], line: int):
    (tmp_path / "a.json").write_text(JSON)
    located = read_located(tmp_path / "a.json")
    assert located.value["models"]["net"]["path"] == 'x"{'
    assert located.line(place) == line


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.toml", b"a = 1\nb = \nc = 2", "no TOML.*line 2"),
        ("a.json", b'{"a": 1,\n"a": 2}', "no JSON.*twice"),
        ("a.json", b"[1]", "an object of JSON"),
        ("a.toml", b"\xff", "cannot be read"),
        ("a.toml", b"#" * (1 << 20) + b"#", "larger than 1 MiB"),
        ("absent.toml", None, "cannot be read"),
    ],
)
def test_what_is_no_such_file(tmp_path: Path, name: str, content: bytes | None, message: str):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(FileFormatError, match=message):
        read_located(tmp_path / name)


def test_a_long_list_is_read_once(tmp_path: Path):
    """Each line of it ends no statement: to try them all would take minutes."""
    (tmp_path / "a.toml").write_text("a = [\n" + "1,\n" * 20_000 + "]\nb = 1\n")
    assert read_located(tmp_path / "a.toml").line(("b",)) == 20_003
