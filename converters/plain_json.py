"""JSON from files that may be anything: its size, depth and numbers have limits, so that reading it cannot blow up."""

from __future__ import annotations

import json
import math
from typing import Any

from converters.small_file import MAX_BYTES  # parsed, JSON takes some 25 times its size

MAX_DEPTH = 200  # what reads it walks recursively, and Python's own stack ends near 1000
_MAX_DIGITS = 20  # of a 64-bit integer; longer ones overflow whatever they are compared with


def parse(
    content: bytes | str, *, most: int = MAX_BYTES, depth: int = MAX_DEPTH, finite: bool = True, unique: bool = True
) -> Any:
    """The value that the text of a JSON file stands for.

    Args:
        content: the text; bytes are UTF-8.
        most: bytes or characters it may have.
        depth: levels of lists and objects it may have.
        finite: whether NaN and infinities, which Python's JSON knows, are errors.
        unique: whether a key that is there twice is one; else the last counts.

    Raises:
        ValueError: Not JSON, too large, nested too deeply, or it holds a number beyond 64 bits, text that is no
            Unicode, a number that is not finite or a key twice.
    """
    if len(content) > most:
        raise ValueError(f"it is larger than {most / 2**20:g} MiB")
    text = content if isinstance(content, str) else content.decode("utf-8")
    constant, real = (_no_constant, _finite) if finite else (float, float)
    try:
        pairs = _unique if unique else None
        value = json.loads(text, object_pairs_hook=pairs, parse_int=_integer, parse_float=real, parse_constant=constant)
    except RecursionError as error:
        raise ValueError(f"it is nested more than {depth} deep") from error
    _check_nesting(value, depth)
    return value


def _check_nesting(value: Any, most: int) -> None:
    level, depth = [value], 0
    while level:
        depth += 1
        if depth > most:
            raise ValueError(f"it is nested more than {most} deep")
        below: list[Any] = []
        for item in level:
            if isinstance(item, str):
                item.encode()  # lone surrogates could be written nowhere; UnicodeEncodeError is a ValueError
            elif isinstance(item, dict):
                below += [*item, *item.values()]
            elif isinstance(item, list):
                below += item
        level = below


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for name, value in pairs:
        if name in fields:
            raise ValueError(f"it sets a field twice, {name[:40]!r}")
        fields[name] = value
    return fields


def _integer(text: str) -> int:
    if len(text) > _MAX_DIGITS:
        raise ValueError(f"it holds a number of {len(text)} digits")
    return int(text)


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"it holds the number {text[:20]}, which is not finite")
    return value


def _no_constant(text: str) -> float:
    raise ValueError(f"it holds {text}, which is no number of JSON")
