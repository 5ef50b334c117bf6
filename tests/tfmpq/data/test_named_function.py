"""Functions of the user's, in files and in modules."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from converters.errors import DataError
from tfmpq.data.named_function import NamedFunction, function_name

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
    found = function_name(f"{file}:data")
    assert found is not None
    assert found == NamedFunction(file, "data")
    assert found.call().number == 7
    assert found.file() == file
    assert sys.path == before


def test_a_function_of_a_module_is_called(file: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(file.parent)
    (file.parent / "some_pkg_of_data").mkdir()
    (file.parent / "some_pkg_of_data" / "loader.py").write_text("def samples():\n    return [1, 2]\n")
    found = function_name("some_pkg_of_data.loader:samples")
    assert found is not None
    assert (found.call(), found.file()) == ([1, 2], Path("some_pkg_of_data/loader.py").resolve())
    missing = function_name("some_pkg_of_data.other:samples")
    assert missing is not None
    assert missing.file() is None
    with pytest.raises(DataError, match=r"'some_pkg_of_data\.other' cannot be imported: ModuleNotFoundError.* Try: py"):
        missing.load()
    Path("a.b:c").touch()
    assert function_name("a.b:c") is None  # a file that is called so


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
        NamedFunction(file, "CONSTANT").call()
    with pytest.raises(DataError, match=r"fails\(\) of '.*' raised ValueError: first line second\. Call it by itself"):
        NamedFunction(file, "fails").call()
    with pytest.raises(DataError, match=r"leaves\(\) of '.*' raised SystemExit: 3\. Call it by itself"):
        NamedFunction(file, "leaves").call()
    file.write_text("import sys; sys.exit('no data')")
    with pytest.raises(DataError, match=r"cannot be run: SystemExit: no data"):
        NamedFunction(file, "data").call()
    file.write_text("1 / 0")
    with pytest.raises(DataError, match=r"cannot be run: ZeroDivisionError: division by zero"):
        NamedFunction(file, "data").call()
