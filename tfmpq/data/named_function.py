"""A function of the user's that gives data, named as ``FILE.py:FUNCTION`` or ``package.module:FUNCTION``."""

from __future__ import annotations

import importlib
import importlib.util
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from converters.errors import DataError

_RAISED = (Exception, SystemExit)  # whatever the user's code raises; sys.exit() would end the command without a word
_IN_MODULE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")


@dataclass(frozen=True)
class NamedFunction:
    """A function that is there, as far as that is known without running anything.

    Attributes:
        where: its file, or the name of its module.
        name: of the function.
    """

    where: Path | str
    name: str

    def load(self) -> Callable[[], Any]:
        """The function itself. Modules beside its file, or in the working directory, can be imported by it.

        Raises:
            DataError: The file or module cannot be run, or has no such function.
        """
        if isinstance(self.where, Path):
            module = _run_file(self.where)
        else:
            module = _import_module(self.where)
        function = getattr(module, self.name, None)
        if not callable(function):
            known = [key for key, value in vars(module).items() if callable(value) and not key.startswith("_")]
            raise DataError(f"'{self.where}' has no function '{self.name}'. It has: {', '.join(known[:10]) or 'none'}.")
        return function

    def call(self) -> Any:
        """Loads the function and calls it without arguments.

        Raises:
            DataError: It cannot be loaded, or raises an error.
        """
        function = self.load()
        try:
            return function()
        except _RAISED as error:
            raise DataError(
                f"{self.name}() of '{self.where}' raised {type(error).__name__}: {_first(error)}. Call it by itself to "
                "debug; it is called without arguments."
            ) from error

    def file(self) -> Path | None:
        """The file that the function is in; None: that of a module is not known before it is imported."""
        if isinstance(self.where, Path):
            return self.where
        with _importing_from(Path.cwd()):
            try:
                spec = importlib.util.find_spec(self.where)
            except _RAISED:  # packages around it run
                return None
        return Path(spec.origin) if spec is not None and spec.has_location and spec.origin else None


def function_name(text: str) -> NamedFunction | None:
    """What ``FILE.py:FUNCTION`` or ``package.module:FUNCTION`` names; None: it is some other path.

    Raises:
        DataError: There is no such file, or what follows the colon is no name.
    """
    path, _, name = text.rpartition(":")
    if text.endswith(".py") or text.endswith(".py:"):
        raise DataError(f"'{text}' does not say which function gives the data: {text.rstrip(':')}:FUNCTION")
    if not path.endswith(".py"):
        return NamedFunction(path, name) if _IN_MODULE.fullmatch(text) and not Path(text).exists() else None
    if not Path(path).is_file():
        raise DataError(f"'{text}': there is no file '{path}' (working directory: {Path.cwd()}). Check the path.")
    if not name.isidentifier():
        raise DataError(f"'{text}': {name!r} is no name of a function. Give FILE.py:FUNCTION.")
    return NamedFunction(Path(path), name)


@contextmanager
def _importing_from(folder: Path) -> Iterator[None]:
    path = str(folder)
    sys.path.insert(0, path)
    try:
        yield
    finally:
        sys.path.remove(path)


def _import_module(name: str) -> ModuleType:
    with _importing_from(Path.cwd()):
        try:
            return importlib.import_module(name)
        except _RAISED as error:
            raise DataError(
                f"'{name}' cannot be imported: {type(error).__name__}: {_first(error)}. Try: python -c 'import {name}'"
            ) from error


def _run_file(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"_tfmpq_data_{path.stem}", path)
    assert spec is not None, path  # only for what does not end in .py
    assert spec.loader is not None, path
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses and pickling look there
    with _importing_from(path.resolve().parent):
        try:
            spec.loader.exec_module(module)
        except _RAISED as error:
            raise DataError(
                f"'{path}' cannot be run: {type(error).__name__}: {_first(error)}. Run it by itself."
            ) from error
    return module


def _first(error: BaseException) -> str:
    return " ".join(str(error).split())[:300]
