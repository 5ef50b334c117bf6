from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfmpq.text import (
    WIDTH,
    Column,
    Facts,
    Lines,
    Table,
    plural,
    quantity,
    shorten,
    terminal_width,
    to_csv,
    to_markdown,
    to_plain,
    to_terminal,
)

COLUMNS = (Column("name", least=8), Column("n", numeric=True))
WORDS = st.text(st.characters(codec="ascii", categories=["L", "N", "P", "S"]), min_size=1, max_size=90)


def table(*rows: tuple[str, str], title: str = "", notes: tuple[str, ...] = ()) -> Table:
    return Table(COLUMNS, rows, title=title, notes=notes)


def test_plain_data_are_what_json_knows():
    value = {1: (1.5, float("inf"), float("nan")), "a": [{"b": None}, True, 2]}
    assert to_plain(value) == {"1": [1.5, None, None], "a": [{"b": None}, True, 2]}


def test_cells_are_aligned_below_their_titles():
    text = to_terminal([table(("a", "1"), ("long name", "1000"), title="all", notes=("a note",))])
    assert text == "all\nname          n\na             1\nlong name  1000\na note"


def test_blocks_stand_apart_and_empty_ones_leave_no_trace():
    blocks = (Facts(()), Lines(("one", "two")), Table((), ()), Facts((("label", "text"),)), Lines((), title=""))
    assert to_terminal(blocks) == "one\ntwo\n\nlabel                 text"


@given(st.lists(st.tuples(WORDS, st.integers(0, 10**9).map(str)), min_size=1, max_size=6))
def test_any_table_fits_and_tells_its_rows_apart(rows):
    lines = to_terminal([table(*rows)]).splitlines()
    assert max(map(len, lines)) <= WIDTH
    assert [line.split()[-1] for line in lines[1:]] == [count for _, count in rows]


@given(st.lists(st.tuples(WORDS, st.integers(0, 10**9).map(str)), min_size=1, max_size=6), st.integers(60, 120))
def test_narrow_terminals_have_narrow_tables(rows, width):
    blocks = [table(*rows, notes=("a note of some words " * 8,)), Facts((("label", "words " * 40),))]
    assert max(map(len, to_terminal(blocks, width=width).splitlines())) <= width


def test_columns_that_can_be_spared_are_left_out_where_there_is_no_room():
    columns = (Column("a", least=8), Column("b", spare=True), Column("c", spare=True), Column("d", numeric=True))
    rows = (("a" * 70, "b" * 20, "c" * 20, "1"), ("b" * 70, "", "", "2"))
    narrow = to_terminal([Table(columns, rows)], width=60).splitlines()
    assert narrow[0].split() == ["a", "b", "c", "d"]  # cells of the first give way before
    columns = (Column("a"), *columns[1:])
    narrow = to_terminal([Table(columns, rows, notes=("note",))], width=80).splitlines()
    assert [line.split() for line in narrow[:3]] == [["a", "d"], ["a" * 70, "1"], ["b" * 70, "2"]]
    assert narrow[3:] == ["(b, c: on a wider terminal)", "note"]


@pytest.mark.parametrize(("columns", "width"), [(80, 80), (20, 60), (300, WIDTH)])
def test_text_fits_the_terminal(monkeypatch: pytest.MonkeyPatch, columns: int, width: int):
    assert terminal_width() == WIDTH  # none here
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", str(columns))
    assert terminal_width() == width
    assert max(map(len, to_terminal([Lines(("word " * 100,))]).splitlines())) <= width


def test_the_widest_column_that_may_gives_way():
    columns = (Column("a", least=20), Column("b", least=10), Column("c"))
    row = ("x" * 150, "y" * 30, "z" * 40)
    header, line = to_terminal([Table(columns, (row,))]).splitlines()
    a, b, c = line.split()
    assert len(line) == WIDTH
    assert (b, c) == (row[1], row[2])
    assert a == shorten(row[0], WIDTH - 2 * 2 - 30 - 40)
    assert header.index("b") == line.index("y")


def test_names_that_look_the_same_shortened_are_given_whole():
    names = [f"{'x' * 50}{i}{'y' * 50}" for i in range(2)]
    columns = (Column("name", least=8), Column("other"))
    header, *lines = to_terminal([Table(columns, tuple((name, "z" * 60) for name in names))]).splitlines()
    assert lines[::2] == names
    assert {line.strip() for line in lines[1::2]} == {"z" * 60}
    assert header.index("other") == lines[1].index("z")


def test_wide_characters_take_two_columns():
    lines = to_terminal([table(("\u5c42\u5c42", "1"), ("abcd", "2"))]).splitlines()
    assert lines[1:] == ["\u5c42\u5c42  1", "abcd  2"]


def test_brackets_and_control_characters_are_text():
    assert to_terminal([table(("[bold]x[/bold] :smile:", "1"))]).splitlines()[1].startswith("[bold]x[/bold] :smile:")


@pytest.mark.parametrize("odd", ["\n", "\r\n", "\t", "\x1b", "\x1c", "\x85", "\u2028", "\ud800"])
def test_a_name_stays_on_its_line(odd: str):
    header, line, last = to_terminal([table((f"a{odd}b", "1"), ("c", "2"))]).split("\n")
    assert line.split() == [f"a{odd.encode('unicode_escape').decode()}b", "1"]
    assert header.rindex("n") == line.rindex("1") == last.rindex("2")


def test_notebooks_get_the_same_text(monkeypatch: pytest.MonkeyPatch):
    blocks = [table(("a", "1")), Facts((("label", "text"),))]
    plain = to_terminal(blocks)
    monkeypatch.setattr("rich.console._is_jupyter", lambda: True)
    assert to_terminal(blocks) == plain


def test_long_sentences_are_wrapped_and_code_is_not():
    sentence = "  * " + "word " * 60
    lines = to_terminal([Lines((sentence,))]).splitlines()
    assert len(lines) == 3
    assert max(map(len, lines)) <= WIDTH
    assert lines[0].startswith("  * word")
    assert lines[1].startswith("      word")
    code = "x" * 300
    assert to_terminal([Lines((code,), title="paste:", code=True)]) == f"paste:\n{code}"


def test_facts_keep_their_line_breaks():
    lines = to_terminal([Facts((("cost", "a   1\nb   2"), ("", "more")))]).splitlines()
    assert lines == ["cost                  a   1", "                      b   2", "                      more"]


def test_markdown():
    blocks = (
        table(("a|b", "1"), title="all", notes=("a note",)),
        Facts((("cost", "a\nb"), ("", "more"))),
        Lines(("  -> do",)),
        Lines(("x = 1",), title="paste:", code=True),
    )
    assert to_markdown(blocks).split("\n\n") == [
        "**all**",
        "| name | n |\n| --- | ---: |\n| a\\|b | 1 |",
        "* a note",
        "* cost: a; b\n* more",
        "* -> do",
        "paste:",
        "```\nx = 1\n```\n",
    ]


def test_csv_is_read_back():
    rows = (('a "quoted", name', "1"), ("two\nlines", "2"))
    assert list(csv.reader(io.StringIO(to_csv(table(*rows))))) == [["name", "n"], *map(list, rows)]


@pytest.mark.parametrize(
    ("value", "text"), [(999, "999 B"), (1000, "1.0 kB"), (12_345_678, "12.3 MB"), (4e9, "4.0 GB")]
)
def test_quantities(value, text):
    assert quantity(value, "B") == text


def test_plurals():
    assert (plural(1, "thread"), plural(2, "thread"), plural(0, "thread")) == ("1 thread", "2 threads", "0 threads")
