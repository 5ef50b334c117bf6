"""tfmpq's own entry among a file's metadata: JSON, deflated."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from typing import Any

from converters.errors import FileFormatError

METADATA_NAME = "tfmpq"
_LIMIT = 64 * 2**20  # bytes once inflated: a corrupt entry must not fill the memory


def pack_record(record: Mapping[str, object]) -> bytes:
    """The record as it stands in a file."""
    return zlib.compress(json.dumps(record, separators=(",", ":")).encode(), 9)


def unpack_record(entry: bytes | memoryview) -> dict[str, Any]:
    """Inverse of :func:`pack_record`.

    Raises:
        FileFormatError: The entry is damaged.
    """
    try:
        content = json.loads(zlib.decompressobj().decompress(entry, _LIMIT))
    except (zlib.error, ValueError, RecursionError) as error:
        raise FileFormatError(
            f"the metadata entry '{METADATA_NAME}' cannot be read: {error}: the file is corrupt"
        ) from error
    if not isinstance(content, dict):
        raise FileFormatError(f"the metadata entry '{METADATA_NAME}' is no JSON object: the file is corrupt")
    return content
