from __future__ import annotations

import re
from pathlib import Path

import pytest
from absl import flags

from tfmpq.commands import COMMANDS
from tools.docs.blocks import RUN, blocks_of, commands_of, pages

ROOT = Path(__file__).parents[3]
_TEXT = ("", "text", "toml", "yaml", "json", "css")  # not code, or checked by another test


def test_blocks_have_their_language_place_and_reason():
    text = "a\n```python\nx = 1\n```\n* b\n\n  <!-- not run: needs a phone -->\n  ```sh\n  adb shell\n  ```\n"
    text += "```\nplain\n```\n"
    first, second, third = blocks_of("page.md", text)
    assert (first.language, first.line, first.text, first.not_run) == ("python", 3, "x = 1\n", None)
    assert (second.language, second.line, second.text, second.not_run) == ("sh", 9, "adb shell\n", "needs a phone")
    assert (third.language, third.text) == ("", "plain\n")


def test_commands_go_on_behind_a_backslash_and_end_at_a_comment():
    assert commands_of("a b \\\n  c  # d\n\n# e\nf 'g h'\n") == [["a", "b", "c"], ["f", "g h"]]


@pytest.mark.parametrize("page", pages())
def test_every_block_is_of_a_language_that_is_looked_at_and_its_python_is_python(page: str):
    for block in blocks_of(page, (ROOT / page).read_text()):
        assert block.language in (*RUN, *_TEXT), f"{page}:{block.line}"
        if block.language == "python":
            compile(block.text, f"{page}:{block.line}", "exec")
        if block.not_run is not None:
            for path in re.findall(r"tests/[\w/.]+", block.not_run):
                assert (ROOT / path).exists(), f"{page}:{block.line}: {path}"


@pytest.mark.parametrize("page", pages())
def test_every_flag_that_a_page_gives_a_command_is_one(page: str):
    text = re.sub(r"\s#.*|\\\n", " ", (ROOT / page).read_text())
    for name, line in re.findall(r"tfmpq (\w+)((?: [^`\n|]*)?)", text):
        if name not in COMMANDS:
            continue
        values = flags.FlagValues()
        COMMANDS[name].define_flags(values)
        for flag in re.findall(r"(?<![\w-])--(\w+)", line.partition(" && ")[0]):
            assert flag in values or flag.removeprefix("no") in values or flag == "help", (
                f"{page}: tfmpq {name} --{flag}"
            )


@pytest.mark.parametrize("page", pages())
def test_every_link_into_the_repository_leads_to_a_file(page: str):
    text = re.sub(r"```.*?```", "", (ROOT / page).read_text(), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)|<img src=\"([^\"]+)", text):
        path = "".join(target).partition("#")[0]
        if path and not re.match(r"[a-z]+:", path):
            assert ((ROOT / page).parent / path).exists(), f"{page}: {path}"
