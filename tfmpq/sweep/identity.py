"""What tells models and data on disk apart: their content, or of many files a stated part of it."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from tfmpq.data.calibration_files import spaced
from tfmpq.folders import files_below

SAMPLED = 256  # files of a directory whose content counts; of all others it is name and size
_CHUNK = 1 << 20
_SIZE = 20


def content_digest(path: str | os.PathLike[str]) -> str:
    """Of everything in a file, or in all files of a directory and their names."""
    return _digest(Path(path), None)


def data_digest(path: str | os.PathLike[str]) -> str:
    """Of everything in a file; of a directory, of all names and sizes and the content of :data:`SAMPLED` files.

    The files that are read are evenly spaced in the order of their names. Times of files count nowhere: clocks differ.
    """
    return _digest(Path(path), SAMPLED)


def bytes_digest(content: bytes) -> str:
    """Of a file's content."""
    return hashlib.blake2b(content, digest_size=_SIZE).hexdigest()


def file_digest(path: str | os.PathLike[str]) -> str:
    """What :func:`bytes_digest` is of a file on disk."""
    found = hashlib.blake2b(digest_size=_SIZE)
    with open(path, "rb") as stream:
        while chunk := stream.read(_CHUNK):
            found.update(chunk)
    return found.hexdigest()


def _digest(path: Path, most: int | None) -> str:
    if not path.is_dir():
        return file_digest(path)
    below, again = files_below(path)
    files = [file for file in below if file.is_file()]
    found = hashlib.blake2b(digest_size=_SIZE)
    for folder in again:
        where = os.fsencode(os.path.realpath(folder)).hex()
        found.update(f"{os.fsencode(folder.relative_to(path)).hex()} is {where}\n".encode())
    for file in files:
        found.update(f"{os.fsencode(file.relative_to(path)).hex()} {file.stat().st_size}\n".encode())
    for number in spaced(len(files), most):
        found.update(file_digest(files[number]).encode())
    return found.hexdigest()
