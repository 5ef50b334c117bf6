"""A function in a Python file of the user's, named as ``FILE.py:FUNCTION``."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from converters.errors import DataError

_RAISED = (Exception, SystemExit)  # whatever the user's code raises; sys.exit() would end the command without a word


def function_name(text: str) -> tuple[Path, str] | None:
    """File and function of ``FILE.py:FUNCTION``; None: it is some other path.

    Raises:
        DataError: There is no such file, or what follows the colon is no name.
    """
    path, _, name = text.rpartition(":")
    if text.endswith(".py") or text.endswith(".py:"):
        raise DataError(f"'{text}' does not say which function gives the data: {text.rstrip(':')}:FUNCTION")
    if not path.endswith(".py"):
        return None
    if not Path(path).is_file():
        raise DataError(f"'{text}': there is no file '{path}' (working directory: {Path.cwd()}). Check the path.")
    if not name.isidentifier():
        raise DataError(f"'{text}': {name!r} is no name of a function. Give FILE.py:FUNCTION.")
    return Path(path), name


def call_function(path: Path, name: str) -> Any:
    """Runs a Python file and calls a function of it without arguments.

    Modules beside the file can be imported by it, as if it were run by itself.

    Raises:
        DataError: The file cannot be run, has no such function, or that raises an error.
    """
    function = _function(path, name)
    try:
        return function()
    except _RAISED as error:
        raise DataError(
            f"{name}() of '{path}' raised {type(error).__name__}: {_first(error)}. Call it by itself to debug; it is "
            "called without arguments."
        ) from error


def _function(path: Path, name: str) -> Callable[[], Any]:
    spec = importlib.util.spec_from_file_location(f"_tfmpq_data_{path.stem}", path)
    assert spec is not None, path  # only for what does not end in .py
    assert spec.loader is not None, path
    module = importlib.util.module_from_spec(spec)
    folder = str(path.resolve().parent)
    sys.path.insert(0, folder)
    sys.modules[spec.name] = module  # dataclasses and pickling look there
    try:
        spec.loader.exec_module(module)
    except _RAISED as error:
        raise DataError(
            f"'{path}' cannot be run: {type(error).__name__}: {_first(error)}. Run it by itself."
        ) from error
    finally:
        sys.path.remove(folder)
    function = getattr(module, name, None)
    if not callable(function):
        known = [key for key, value in vars(module).items() if callable(value) and not key.startswith("_")]
        raise DataError(f"'{path}' has no function '{name}'. It has: {', '.join(known[:10]) or 'none'}.")
    return function


def _first(error: BaseException) -> str:
    return " ".join(str(error).split())[:300]
