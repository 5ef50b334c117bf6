"""tfmpq's own entry among a file's metadata: JSON, deflated."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from typing import Any

from converters.errors import FileFormatError
from converters.plain_json import parse

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
        content = parse(_inflate(entry), most=_LARGEST, depth=_DEEPEST, unique=False)
    except (zlib.error, ValueError) as error:
        raise FileFormatError(
            f"the metadata entry '{METADATA_NAME}' cannot be read: {error}: the file is corrupt"
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
