"""Codes of less than a byte, as files hold them: the first in the lowest bits."""

from __future__ import annotations

import numpy as np


def pack_int4(codes: np.ndarray) -> bytes:
    """Codes -8..7 two a byte, low nibble first, the last nibble zero when the count is odd."""
    flat = codes.astype(np.int8).reshape(-1)
    if flat.size % 2:
        flat = np.append(flat, np.int8(0))
    nibbles = flat.view(np.uint8) & 0x0F
    return (nibbles[0::2] | (nibbles[1::2] << 4)).astype(np.uint8).tobytes()


def unpack_codes(data: bytes | memoryview, count: int, *, bits: int, dtype: np.dtype) -> np.ndarray:
    """``count`` codes of ``bits`` bits (4 or 2), signed where ``dtype`` is."""
    packed = np.frombuffer(data, np.uint8)
    # Shifting a code up to bit 7 and back down extends its sign.
    shifts = np.arange(8 - bits, -1, -bits, dtype=np.uint8)
    high = (packed[:, None] << shifts).astype(np.uint8).view(dtype)
    return (high >> (8 - bits)).reshape(-1)[:count]
