"""Shards of WebDataset: tar files in which neighbours called alike up to the first dot are one sample.

Read with the standard library: WebDataset's own reader would unpickle members that are called so.
"""

from __future__ import annotations

import gzip
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import groupby
from pathlib import Path

from tfmpq.data.shards.fields import Choose, Record

_MOST = 1 << 28  # bytes of a member
_BLOCK = 512  # of a tar file; one of zeros ends it
_Member = tuple[tarfile.TarFile, tarfile.TarInfo]


def read_members(path: Path, choose: Choose) -> Iterator[tuple[tuple[str, ...], Record]]:
    """The samples of a file. ``000.jpg`` and ``000.cls`` are the fields jpg and cls; ``000.ids.npy`` is the field ids.

    Raises:
        ValueError: The file is cut off, or a member is too large.
        Exception: That of tarfile and gzip, of damaged files.
    """
    packed = _is_packed(path)
    with _members(path) as members:
        for _, group in groupby(members, lambda member: _key(member[1])):
            held = {_field(info): _reader(archive, info, packed) for archive, info in group}
            names = tuple(held)
            yield names, {name: held[name]() for name in choose(names)}


def count_members(path: Path) -> int:
    """How many samples there are; their content is skipped."""
    with _members(path) as members:
        return sum(1 for _ in groupby(members, lambda member: _key(member[1])))


@contextmanager
def _members(path: Path) -> Iterator[Iterator[_Member]]:
    packed = _is_packed(path)
    with (gzip.open if packed else open)(path, "rb") as stream, tarfile.open(fileobj=stream, mode="r:") as archive:
        yield _files(archive, packed)


def _files(archive: tarfile.TarFile, packed: bool) -> Iterator[_Member]:
    while (info := archive.next()) is not None:
        if info.isfile() and not info.name.rpartition("/")[2].startswith("."):
            yield archive, info
        archive.members.clear()  # type: ignore[attr-defined] (it would grow with the file)
    if not packed:  # else gzip has found it; tarfile takes a missing end for one
        stream = archive.fileobj
        assert stream is not None
        stream.seek(archive.offset)  # type: ignore[attr-defined] (where it found no further member)
        if len(stream.read(_BLOCK)) < _BLOCK:
            raise ValueError("it ends without the blocks of zeros that end a tar file")


def _reader(archive: tarfile.TarFile, info: tarfile.TarInfo, packed: bool) -> Callable[[], bytes]:
    """What gives the content of a member, later too: of a packed file it is read now, as nothing is returned to."""
    if not packed:
        return partial(_content, archive, info)
    content = _content(archive, info)
    return lambda: content


def _content(archive: tarfile.TarFile, info: tarfile.TarInfo) -> bytes:
    if info.size > _MOST:
        raise ValueError(f"its member '{info.name}' has {info.size} bytes, more than {_MOST}")
    file = archive.extractfile(info)
    assert file is not None, info.name  # only for what is no file
    return file.read()


def _is_packed(path: Path) -> bool:
    return path.suffix.lower() in (".gz", ".tgz")


def _key(info: tarfile.TarInfo) -> str:
    folder, slash, name = info.name.rpartition("/")
    return f"{folder}{slash}{name.partition('.')[0]}"


def _field(info: tarfile.TarInfo) -> str:
    kind = info.name.rpartition("/")[2].partition(".")[2]
    return kind[:-4] if kind.endswith(".npy") else kind.lower()
