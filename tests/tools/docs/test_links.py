from __future__ import annotations

from tools.docs.links import adapted

PAGES = {
    "README.md": "index.md",
    "docs/files.md": "files.md",
    "docs/frontier/frontier.md": "frontier/frontier.md",
    "docs/a.png": "a.png",
}


def test_links_lead_to_pages_of_the_site_and_stay_text_where_there_is_none():
    text = "[files](docs/files.md#x), [code](tfmpq/cli.py), [web](https://e.org) and [below](#x). ![a](docs/a.png)\n"
    expected = "[files](files.md#x), code, [web](https://e.org) and [below](#x). ![a](a.png)\n"
    assert adapted(text, "README.md", PAGES) == expected


def test_links_are_relative_to_the_page():
    assert adapted("[f](../files.md) [h](../../README.md)\n", "docs/frontier/frontier.md", PAGES) == (
        "[f](../files.md) [h](../index.md)\n"
    )
    assert adapted('<img src="a.png" width="9">\n', "docs/files.md", PAGES) == '<img src="a.png" width="9">\n'


def test_code_stays_as_it_is():
    text = "```md\n* [a](README.md)\n  b\n```\n"
    assert adapted(text, "README.md", PAGES) == text


def test_lists_begin_behind_an_empty_line_and_hold_what_is_indented():
    assert adapted("So\n* a\n\n  | b |\n", "README.md", PAGES) == "So\n\n* a\n\n    | b |\n"
