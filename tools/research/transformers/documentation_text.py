"""English text that comes with every Python: docstrings of the standard library and the language reference.

Nothing is downloaded, and the same Python version always gives the same text. Documents of training and test are
disjoint.
"""

from __future__ import annotations

import ast
import sysconfig
from collections.abc import Iterator
from pathlib import Path

_LEFT_OUT = {"site-packages", "dist-packages", "test", "tests", "idlelib", "lib2to3", "pydoc_data", "turtledemo"}
_SHORTEST = 40  # characters of a docstring: shorter ones say little more than the name
_TEST_SHARE = 10  # every tenth document is for the test


def documents() -> list[str]:
    """One text a module of the standard library (all its docstrings), then one a topic of the reference."""
    from pydoc_data.topics import topics

    root = Path(sysconfig.get_path("stdlib"))
    paths = sorted(p for p in root.rglob("*.py") if not _LEFT_OUT & set(p.relative_to(root).parts))
    modules = ("\n\n".join(_docstrings(path)) for path in paths)
    return [text for text in (*modules, *(topics[name] for name in sorted(topics))) if text]


def split(texts: list[str]) -> tuple[str, str]:
    """(training text, test text): every tenth document is in the latter."""
    train = [text for i, text in enumerate(texts) if i % _TEST_SHARE]
    return "\n\n".join(train), "\n\n".join(texts[::_TEST_SHARE])


def _docstrings(path: Path) -> Iterator[str]:
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"))
    except (SyntaxError, UnicodeDecodeError):  # modules that are templates, or in another encoding
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            text = ast.get_docstring(node) or ""
            if len(text) >= _SHORTEST:
                yield text
