from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest

import converters.errors
from tfmpq import errors
from tfmpq.commands import COMMANDS
from tfmpq.options import Options
from tools.docs.reference import PARTS, cell, command_flags, messages, options, raised

DOCS = Path(__file__).parents[3] / "docs"


def test_every_option_is_in_the_table_with_its_meaning():
    rows = options().splitlines()[2:]
    assert [row.split("`")[1] for row in rows] == [field.name for field in dataclasses.fields(Options)]
    assert all(re.search(r"\| \S.{20,} \|$", row) for row in rows)
    assert "| `bits` | `4` | bits of a point" in options()


def test_every_command_has_its_flags():
    text = command_flags()
    assert all(f"### tfmpq {name}\n" in text for name in COMMANDS)
    assert "| `--[no]flip` | `on` |" in text
    assert "| `--output`, `-o` |" in text


def test_messages_are_read_from_the_sources():
    source = 'raise DataError(f"sample {i} of " + name)\nraise OptionError(text)\nraise ModelError("no " "layer")\n'
    assert sorted(raised(source)) == [("DataError", "sample ... of ..."), ("ModelError", "no layer")]
    text = messages()
    assert "### Messages: DataError" in text
    assert text.count("\n* ") > 300


def test_cells_of_tables_hold_no_roles_and_no_bars():
    assert cell("see :func:`tfmpq.expand`, ``a|b`` <c>") == r"see `tfmpq.expand`, `a\|b` &lt;c&gt;"


@pytest.mark.parametrize("name", errors.__all__)
def test_every_public_error_has_its_cure(name: str):
    page = (DOCS / "errors.md").read_text()
    section = page.partition(f"\n### {name}\n")[2].partition("\n#")[0].strip()
    assert len(section) > 80
    assert getattr(errors, name) is getattr(converters.errors, name)


def test_pages_ask_for_parts_that_there_are():
    asked = [part for page in DOCS.glob("*.md") for part in re.findall(r"<!-- generate: (\w+) -->", page.read_text())]
    assert sorted(asked) == sorted(PARTS)
