from __future__ import annotations

import pytest

from converters.errors import DataWarning, ModelError, OptionError
from converters.paths import path_text
from converters.printable import printable, shown


def test_what_moves_the_cursor_is_written_out():
    assert printable("conv\x1b[2J\r\u202e\ud800ü") == r"conv\x1b[2J\r\u202e\ud800ü"
    assert printable("a\nb\t", keep="\n") == "a\nb\\t"
    assert str(ModelError("layer 'a\x1b[31m':\nwrong")) == "layer 'a\\x1b[31m':\nwrong"
    assert str(DataWarning("\x07")) == r"\x07"


def test_values_are_shown_whatever_they_are():
    class Silent:
        def __repr__(self) -> str:
            raise RuntimeError

    assert shown("a" * 10**6).startswith("'aaaa")
    assert max(len(shown(value)) for value in ("a" * 10**6, [[1] * 99] * 99, 10**5000, Silent())) < 1000


@pytest.mark.parametrize("path", ["a\0b", "\ud800", "a" * 300, "a/" * 5000, b"bytes", 3, None, ["a"]])
def test_what_names_no_file(path: object):
    with pytest.raises(OptionError, match="is no path of a recipe"):
        path_text(path, "a recipe")
