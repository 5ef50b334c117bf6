"""Files that hold many samples each: found by a path or a glob, and read in the format that their names say."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from converters.errors import DataError, MissingDependencyError
from tfmpq.data.images import IMAGE_SUFFIXES
from tfmpq.data.shards.array_rows import count_rows, read_rows
from tfmpq.data.shards.fields import Choose, Record
from tfmpq.data.shards.parquet import count_table, read_table
from tfmpq.data.shards.tar import count_members, read_members
from tfmpq.data.shards.tfrecord import count_examples, read_examples
from tfmpq.storage import is_url


@dataclass(frozen=True)
class Format:
    """A format of shards.

    Attributes:
        name: for messages.
        pattern: of names of its files, in small letters.
        read: all fields' names and the chosen fields of every record of a file; may raise anything.
        count: records in a file; may raise anything.
        single: one file is shards too; else it is something else when no glob has found it.
    """

    name: str
    pattern: re.Pattern[str]
    read: Callable[[Path, Choose], Iterator[tuple[tuple[str, ...], Record]]]
    count: Callable[[Path], int]
    single: bool = True


FORMATS = (
    Format(".npz", re.compile(r".*\.npz"), read_rows, count_rows, single=False),
    Format("TFRecord", re.compile(r".*\.tfrecords?(\.gz)?(-\d+-of-\d+)?"), read_examples, count_examples),
    Format("WebDataset tar", re.compile(r".*\.(tar|tar\.gz|tgz)"), read_members, count_members),
    Format("Parquet", re.compile(r".*\.parquet"), read_table, count_table),
)
_KINDS = f".npz, .npy, .tfrecord, .tar, .parquet or images ({', '.join(IMAGE_SUFFIXES)})"


@dataclass(frozen=True)
class Shards:
    """Files of one format.

    Attributes:
        pattern: what was asked for.
        files: in the order of their names.
        format: None: files of one sample each, images or .npy.
    """

    pattern: str
    files: tuple[Path, ...]
    format: Format | None

    def records(self, path: Path, choose: Choose) -> Iterator[tuple[tuple[str, ...], Record]]:
        """All fields' names and the chosen fields of every record of a file.

        Raises:
            DataError: The file cannot be read, or lacks a field.
            MissingDependencyError: A package that reads it.
        """
        assert self.format is not None, self.pattern
        number = 0
        try:
            for record in self.format.read(path, choose):
                yield record
                number += 1
        except (DataError, MissingDependencyError) as error:
            named = os.fspath(path) in str(error)
            raise error if named else DataError(f"shard '{path}', sample {number}: {error}") from error
        except Exception as error:  # whatever a damaged file leads to in its reader
            raise DataError(self._damaged(path, error, f"after {number} samples ")) from error

    def count(self, path: Path) -> int:
        """Records in a file.

        Raises:
            DataError: It cannot be read.
            MissingDependencyError: A package that reads it.
        """
        assert self.format is not None, self.pattern
        try:
            return self.format.count(path)
        except (DataError, MissingDependencyError):
            raise
        except Exception as error:
            raise DataError(self._damaged(path, error, "")) from error

    def _damaged(self, path: Path, error: Exception, when: str) -> str:
        assert self.format is not None, self.pattern
        reason = " ".join(str(error).split())[:200].rstrip(".") or type(error).__name__
        return (
            f"shard '{path}' cannot be read {when}as {self.format.name}: {reason}. If it is cut off, copy or write it "
            "again; or leave it out."
        )


def find_shards(text: str | os.PathLike[str]) -> Shards | None:
    """The files that a path or a glob names; None: it is a directory, or a file of arrays.

    Args:
        text: a file of a format for shards, or a pattern: ``shards/*.tar``, ``photos/**/*.jpg``.

    Raises:
        DataError: No file matches, files of several kinds do, or it is a URL.
    """
    text = os.fspath(text)
    if os.path.exists(text):
        known = _format(Path(text).name)
        return Shards(text, (Path(text),), known) if known and known.single and os.path.isfile(text) else None
    if is_url(text):
        raise DataError(
            f"'{text}' is a URL: data are read by URL in specs of tfmpq sweep only. Copy them, and give their path."
        )
    if not glob.has_magic(text):
        return None
    found = matching(text)
    kinds = {_kind(Path(path).name): path for path in reversed(found)}
    if None in kinds:
        raise DataError(f"'{text}' matches '{kinds[None]}', which is none of {_KINDS}. Give a closer pattern.")
    if len(kinds) > 1:
        raise DataError(
            f"'{text}' matches files of several kinds: {', '.join(map(repr, kinds.values()))}. Give a pattern for one."
        )
    return Shards(text, tuple(map(Path, found)), _format(Path(found[0]).name))


def matching(pattern: str, what: str = "") -> list[str]:
    """The files that a glob matches, in order.

    Raises:
        DataError: There are none; ``what`` says what they would be.
    """
    found = [path for path in sorted(glob.glob(pattern, recursive=True)) if os.path.isfile(path)]
    if not found:
        named = f", which names {what}" if what else ""
        raise DataError(f"no file matches '{pattern}' (working directory: {Path.cwd()}){named}. Check the pattern.")
    return found


def glob_in(folder: str | os.PathLike[str]) -> str | None:
    """A pattern for the shards that lie in a folder without images; None: it has images, or no shards."""
    files = sorted(path for path in Path(folder).iterdir() if path.is_file())
    found = next((path for path in files if _format(path.name)), None)
    if found is None or any(path.suffix.lower() in IMAGE_SUFFIXES for path in Path(folder).rglob("*")):
        return None
    return os.path.join(folder, f"*{re.sub(r'-[0-9]+-of-[0-9]+$', '-*', found.suffix)}")


def _format(name: str) -> Format | None:
    return next((known for known in FORMATS if known.pattern.fullmatch(name.lower())), None)


def _kind(name: str) -> str | None:
    """What files of one pattern must have in common."""
    known = _format(name)
    if known is not None:
        return known.name
    suffix = Path(name).suffix.lower()
    return suffix if suffix == ".npy" else "image" if suffix in IMAGE_SUFFIXES else None
