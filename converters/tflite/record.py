"""tfmpq's own entry among a file's metadata: JSON, deflated."""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Mapping
from typing import Any, NoReturn

from converters.errors import FileFormatError

METADATA_NAME = "tfmpq"
# A corrupt entry must not fill the memory: text becomes some twenty times its size in objects.
_LARGEST = 8 * 2**20  # bytes once inflated, as in the app
_SLACK, _RATIO = 1 << 16, 100  # no more than the slack and so many times the entry: names of layers deflate to a tenth
_DEEPEST = 100  # as in the app


def pack_record(record: Mapping[str, object]) -> bytes:
    """The record as it stands in a file."""
    return zlib.compress(json.dumps(record, separators=(",", ":")).encode(), 9)


def unpack_record(entry: bytes | memoryview) -> dict[str, Any]:
    """Inverse of :func:`pack_record`.

    Raises:
        FileFormatError: The entry is damaged, or no honest one.
    """
    try:
        content = json.loads(_inflate(entry), parse_float=_finite, parse_constant=_no_number)
        _check(content)
    except (zlib.error, ValueError, RecursionError) as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else error
        raise FileFormatError(
            f"the metadata entry '{METADATA_NAME}' cannot be read: {reason}: the file is corrupt"
        ) from error
    if not isinstance(content, dict):
        raise FileFormatError(f"the metadata entry '{METADATA_NAME}' is no JSON object: the file is corrupt")
    return content


def _inflate(entry: bytes | memoryview) -> str:
    limit = min(_SLACK + _RATIO * len(entry), _LARGEST)
    inflater = zlib.decompressobj()
    text = inflater.decompress(entry, limit)
    if not inflater.eof:
        raise ValueError(f"it is larger than {limit} bytes" if len(text) >= limit else "it is cut off")
    return text.decode()


def _check(content: object) -> None:
    """Refuses nesting that only serves to overflow the stack of who walks through it, and text that cannot be shown."""
    level, depth = [content], 0
    while level:
        depth += 1
        if depth > _DEEPEST:
            raise ValueError(f"nested too deeply, in more than {_DEEPEST} levels")
        below: list[object] = []
        for value in level:
            if isinstance(value, dict):
                "".join(value).encode()  # raises at halves of a pair of UTF-16
                below += value.values()
            elif isinstance(value, list):
                below += value
            elif isinstance(value, str):
                value.encode()
        level = below


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        _no_number(text)
    return value


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is no finite number")
