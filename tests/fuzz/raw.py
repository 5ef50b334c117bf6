"""Changes of bytes that know of the format no more than where its offsets are; and archives behind the file."""

from __future__ import annotations

import functools
import io
import random
import struct
import warnings
import zipfile
from collections.abc import Callable, Sequence

import numpy as np

# The file, what other seed files hold, a generator -> the file.
Change = Callable[[bytes, Sequence[bytes], random.Random], bytes]
CHANGES: dict[str, Change] = {}
ATTACHMENTS: dict[str, Change] = {}


def _change(function: Change) -> Change:
    CHANGES[function.__name__] = function
    return function


def _attachment(function: Change) -> Change:
    ATTACHMENTS[function.__name__] = function
    return function


def _offsets(content: bytes) -> np.ndarray:
    """Places that may hold offsets: aligned words that point forward into the file."""
    words = np.frombuffer(content, "<u4", len(content) // 4)
    places = 4 * np.arange(len(words))
    return places[(words > 0) & (words + places < len(content) - 4) & (words < len(content))]


def _written(content: bytes, at: int, value: int, kind: str = "I") -> bytes:
    size = struct.calcsize(kind)
    return content[:at] + struct.pack(f"<{kind}", value % 2 ** (8 * size)) + content[at + size :]


@_change
def bits(content: bytes, _: Sequence[bytes], rng: random.Random) -> bytes:
    data = bytearray(content)
    for _place in range(rng.choice((1, 1, 2, 8, 64))):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return bytes(data)


@_change
def some_bytes(content: bytes, _: Sequence[bytes], rng: random.Random) -> bytes:
    at = rng.randrange(len(content))
    count = min(rng.choice((1, 2, 4, 16, 256)), len(content) - at)
    filled = rng.choice((bytes(count), b"\xff" * count, rng.randbytes(count)))
    return content[:at] + filled + content[at + count :]


@_change
def word(content: bytes, _: Sequence[bytes], rng: random.Random) -> bytes:
    """A number of the file's frame, an offset or a length, becomes another."""
    at = int(rng.choice(_offsets(content)))
    old = struct.unpack_from("<I", content, at)[0]
    values = (
        0,
        1,
        old - 1,
        old + 1,
        old + 4,
        old - 4,
        old * 2,
        old + 2**16,
        len(content) - at,
        len(content),
        2**32 - at,
    )
    return _written(content, at, rng.choice((*values, 2**31 - 1, 2**31, 2**32 - 1)))


@_change
def half_word(content: bytes, _: Sequence[bytes], rng: random.Random) -> bytes:
    """As numbers of a table's field list are."""
    words = np.frombuffer(content, "<u2", len(content) // 2)
    at = 2 * int(rng.choice(np.flatnonzero((words > 0) & (words < 64))))
    return _written(content, at, rng.choice((0, 1, 2, 4, 6, 8, 12, 60, 2**15, 2**16 - 1)), "H")


@_change
def shared_offset(content: bytes, _: Sequence[bytes], rng: random.Random) -> bytes:
    """Offsets in a row all lead to one place: a table in many."""
    places = _offsets(content)
    at = int(rng.choice(places))
    target = at + struct.unpack_from("<I", content, at)[0]
    for place in range(at, min(at + 4 * rng.choice((2, 8, 100)), len(content) - 4, target), 4):
        content = _written(content, place, target - place)
    return content


@_change
def looped_offset(content: bytes, _: Sequence[bytes], rng: random.Random) -> bytes:
    """An offset leads to itself, to the start, to another one's target, or behind another offset."""
    places = _offsets(content)
    at, other = int(rng.choice(places)), int(rng.choice(places))
    target = other + struct.unpack_from("<I", content, other)[0]
    return _written(content, at, rng.choice((0, 4, -at, other - at, target - at, target - at)))


@_change
def longer_vector(content: bytes, _: Sequence[bytes], rng: random.Random) -> bytes:
    """What an offset leads to, mostly a vector's length or a table's, grows."""
    at = int(rng.choice(_offsets(content)))
    target = at + struct.unpack_from("<I", content, at)[0]
    return _written(content, target, rng.choice((1000, len(content) // 4, len(content), 2**20, 2**30, 2**31 - 1)))


@_change
def cut(content: bytes, _: Sequence[bytes], rng: random.Random) -> bytes:
    return content[: rng.choice((rng.randrange(len(content)), rng.randrange(64), len(content) - rng.randrange(1, 64)))]


@_change
def moved(content: bytes, _: Sequence[bytes], rng: random.Random) -> bytes:
    """Bytes come in or go out, so that what follows lies elsewhere."""
    at, count = rng.randrange(len(content)), rng.choice((1, 2, 4, 16, 100))
    return content[:at] + (rng.randbytes(count) + content[at:] if rng.random() < 0.5 else content[at + count :])


@_change
def spliced(content: bytes, others: Sequence[bytes], rng: random.Random) -> bytes:
    """A piece of another file, in the same place or in another, or the second half of it."""
    other = rng.choice(others)
    at = rng.randrange(min(len(content), len(other)))
    if rng.random() < 0.3:
        return content[:at] + other[at:]
    count = rng.choice((16, 64, 500, 2000))
    source = at if rng.random() < 0.5 else rng.randrange(len(other))
    piece = other[source : source + count]
    return content[:at] + piece + content[at + len(piece) :]


# ---------------------------------------------------------------- archives


@_attachment
def archive(content: bytes, _: Sequence[bytes], rng: random.Random) -> bytes:
    """Associated files, more or less odd."""
    stream = io.BytesIO(content)
    stream.seek(0, io.SEEK_END)
    with warnings.catch_warnings(), zipfile.ZipFile(stream, "a") as members:
        warnings.simplefilter("ignore")  # members of one name
        for number in range(rng.choice((0, 1, 2, 3, 400))):
            name = rng.choice(
                ("labels.txt", "../up", "/root", "a\x1b[31m", "dir/", "labels.txt", "\u202ex", "n" * 4000)
            )
            info = zipfile.ZipInfo(f"{name}{number or ''}" if name[-1] != "/" else name)
            info.compress_type = rng.choice(
                (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
            )
            info.comment, info.external_attr = rng.choice((b"", b"c" * 300)), rng.choice((0, 0xA1FF0000, 0x10))
            members.writestr(info, b"cat\ndog\n" * rng.choice((0, 1, 100)))
        members.comment = rng.choice((b"", b"\x1b[2J", b"c" * 60_000))
    return stream.getvalue()


@_attachment
def damaged_archive(content: bytes, others: Sequence[bytes], rng: random.Random) -> bytes:
    """An archive whose lists, flags, sizes or data are wrong."""
    whole = bytearray(archive(content, others, rng))
    behind = bytearray(whole[len(content) :])
    if len(behind) < 30:
        return bytes(whole)
    central, local = behind.rfind(b"PK\1\2"), behind.rfind(b"PK\3\4")
    what = rng.randrange(7)
    if what == 0 and central >= 0:
        behind[central + 8] |= 1  # encrypted
    elif what == 1 and central >= 0:
        behind[central + 10] = rng.choice((1, 6, 9, 77, 99))  # method
    elif what == 2 and local >= 0:
        behind[local + 30 : local + 60] = b"\xff" * 30
    elif what == 3 and central >= 0:
        behind[central + 20 : central + 28] = struct.pack(
            "<II", rng.choice((0, 2**32 - 1)), rng.choice((0, 2**32 - 1, 2**30))
        )
    elif what == 4:
        del behind[rng.randrange(len(behind)) :]
    else:
        for _ in range(rng.choice((1, 4, 20))):
            behind[rng.randrange(len(behind))] = rng.randrange(256)
    return content + bytes(behind)


@_attachment
def large_archive(content: bytes, _: Sequence[bytes], rng: random.Random) -> bytes:
    """Zeros, a thousand times smaller when deflated."""
    stream = io.BytesIO(_zeros(rng.choice((20, 200))))
    return content + stream.getvalue()


@functools.cache
def _zeros(megabytes: int) -> bytes:
    stream = io.BytesIO()
    with (
        zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as members,
        members.open("zeros", "w") as file,
    ):
        for _ in range(megabytes):
            file.write(bytes(1 << 20))
    return stream.getvalue()
