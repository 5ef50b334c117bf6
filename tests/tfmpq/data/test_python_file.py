"""Functions in Python files of the user's."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from converters.errors import DataError
from tfmpq.data.python_file import call_function, function_name

CODE = """
from dataclasses import dataclass
from beside_it import NUMBER

@dataclass
class Pair:
    number: int

def data():
    return Pair(NUMBER)

def fails():
    raise ValueError("first line\\nsecond")

def leaves():
    raise SystemExit(3)

CONSTANT = 3
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "beside_it.py").write_text("NUMBER = 7\n")
    path = tmp_path / "pipeline.py"
    path.write_text(CODE)
    return path


def test_a_function_is_called_and_finds_what_lies_beside_its_file(file: Path):
    before = list(sys.path)
    assert function_name(f"{file}:data") == (file, "data")
    assert call_function(file, "data").number == 7
    assert sys.path == before


def test_other_paths_are_none_of_a_function():
    assert function_name("data.npz") is None
    assert function_name("folder/with:colon") is None


def test_what_is_wrong_is_said(file: Path):
    with pytest.raises(DataError, match=r"pipeline\.py' does not say which function gives the data: .*:FUNCTION$"):
        function_name(str(file))
    with pytest.raises(DataError, match=r"'none\.py:data': there is no file 'none\.py'"):
        function_name("none.py:data")
    with pytest.raises(DataError, match=r"'a b' is no name of a function"):
        function_name(f"{file}:a b")
    with pytest.raises(DataError, match=r"has no function 'CONSTANT'\. It has: dataclass, Pair, data, fails, leaves"):
        call_function(file, "CONSTANT")
    with pytest.raises(DataError, match=r"fails\(\) of '.*' raised ValueError: first line second\. Call it by itself"):
        call_function(file, "fails")
    with pytest.raises(DataError, match=r"leaves\(\) of '.*' raised SystemExit: 3\. Call it by itself"):
        call_function(file, "leaves")
    file.write_text("import sys; sys.exit('no data')")
    with pytest.raises(DataError, match=r"cannot be run: SystemExit: no data"):
        call_function(file, "data")
    file.write_text("1 / 0")
    with pytest.raises(DataError, match=r"cannot be run: ZeroDivisionError: division by zero"):
        call_function(file, "data")
