"""What tells models and data on disk apart: their content, or of many files a stated part of it."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tfmpq.data.calibration_files import spaced
from tfmpq.data.named_files import files_of
from tfmpq.data.named_function import function_name
from tfmpq.folders import files_below

SAMPLED = 256  # files of a directory whose content counts; of all others it is name and size
_CHUNK = 1 << 20
_SIZE = 20


def content_digest(path: str | os.PathLike[str]) -> str:
    """Of everything in a file, or in all files of a directory and their names."""
    return _digest(Path(path), None)


def data_digest(path: str | os.PathLike[str]) -> str:
    """Of everything in a file; of a directory or a glob, of names and sizes and the content of :data:`SAMPLED` files.

    The files that are read are evenly spaced in the order of their names. Times of files count nowhere: clocks differ.
    Of a function it is its name and the file that it is in, as nobody knows what that reads.

    Raises:
        DataError: No file matches a glob, or there is no file with the function.
    """
    files = files_of(path)
    if files == [Path(path)]:
        return _digest(files[0], SAMPLED)
    found = hashlib.blake2b(digest_size=_SIZE)
    named = function_name(os.fspath(path))
    if named is not None:
        found.update(f"{named.name}\n".encode())
    if files:
        _add_files(found, files, Path(os.path.commonpath([file.absolute().parent for file in files])), SAMPLED)
    return found.hexdigest()


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
    _add_files(found, files, path, most)
    return found.hexdigest()


def _add_files(found: Any, files: Sequence[Path], folder: Path, most: int | None) -> None:
    for file in files:
        name = os.path.relpath(file, folder)
        found.update(f"{os.fsencode(name).hex()} {file.stat().st_size}\n".encode())
    for number in spaced(len(files), most):
        found.update(file_digest(files[number]).encode())
