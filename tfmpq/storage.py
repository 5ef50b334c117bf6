"""Folders by path or by URL: what sweeps and the cache need of a store, whichever it is; fsspec reaches it.

A store has neither locks nor renames, and nothing is appended to. What it has is an object put as a whole: whoever
reads one finds a former one or this one. ``file://`` is a path like any other, and needs no package.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from converters.errors import MissingDependencyError, OptionError
from converters.paths import path_text

_URL = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]+)://(?P<rest>.*)", re.DOTALL)
_FILE = "file"
_NUMBERS = ((FileNotFoundError, errno.ENOENT), (FileExistsError, errno.EEXIST), (PermissionError, errno.EACCES))


@dataclass(frozen=True)
class Remote:
    """A folder or an object of a store, called as paths are. All methods raise OSError, which names the URL.

    Attributes:
        url: without a slash at its end.

    Raises:
        MissingDependencyError: fsspec is not installed, or what it needs for this store.
        OptionError: It knows no such stores.
    """

    url: str

    def __post_init__(self) -> None:
        _opened(self.url)  # what is missing is said before the work

    def __str__(self) -> str:
        return self.url

    def __truediv__(self, name: str) -> Remote:
        return Remote(f"{self.url}/{name}")

    @property
    def name(self) -> str:
        """The last part."""
        return self.url.rpartition("/")[2]

    @property
    def parent(self) -> Remote:
        """The folder that it is in."""
        return Remote(self.url.rpartition("/")[0])

    @property
    def stem(self) -> str:
        """The last part without its ending."""
        return os.path.splitext(self.name)[0]

    def absolute(self) -> Remote:
        """Itself: nothing is relative to a store."""
        return self

    def exists(self) -> bool:
        """Whether there is such an object, or anything below it."""
        with _told(self.url) as (system, path):
            system.invalidate_cache()  # others write too
            return system.exists(path)

    def is_folder(self) -> bool:
        """Whether it is a folder, and no object; FileNotFoundError says that it is neither."""
        with _told(self.url) as (system, path):
            system.invalidate_cache()
            return system.info(path)["type"] == "directory"

    def read_bytes(self, most: int | None = None) -> bytes:
        """The content of an object, or no more than the first bytes of it."""
        with _told(self.url) as (system, path):
            return system.cat_file(path) if most is None else system.cat_file(path, start=0, end=most)

    def write_bytes(self, content: bytes) -> None:
        """Puts an object in full or not at all."""
        with _told(self.url) as (system, path):
            _in_folder(system, path, system.pipe_file, path, content)

    def create(self, content: bytes) -> None:
        """Puts an object that is not there, of which no other has this content.

        Raises:
            FileExistsError: It is there. Of two who create it at once one succeeds, where the store knows conditions
                (S3, Google Cloud Storage and what takes their conditions); elsewhere both may, seldom.
        """
        with _told(self.url) as (system, path):
            try:
                _in_folder(system, path, system.pipe_file, path, content, mode="create")
            except Exception:  # the condition, or that there are none
                system.invalidate_cache()
                if not system.exists(path):
                    raise
            if system.cat_file(path) != content:  # an answer may be lost where the object is not
                raise FileExistsError(errno.EEXIST, "it is there", path)

    def unlink(self, missing_ok: bool = False) -> None:
        """Removes an object."""
        with _told(self.url) as (system, path), contextlib.suppress(*(FileNotFoundError,) * missing_ok):
            system.rm_file(path)

    def files(self) -> dict[str, int]:
        """The objects of a folder, not of those in it: names with sizes in bytes; none where there is no folder."""
        with _told(self.url) as (system, path):
            system.invalidate_cache()
            try:
                found = system.ls(path, detail=True)
            except (FileNotFoundError, NotADirectoryError):
                return {}
        return {
            info["name"].rstrip("/").rpartition("/")[2]: info["size"]
            for info in found
            if info["type"] == "file" and info["name"].strip("/") != path.strip("/")
        }

    def contents(self, names: Sequence[str]) -> Mapping[str, bytes]:
        """The contents of objects of a folder by name, asked for all at once; those that are gone are left out."""
        if not names:
            return {}
        with _told(self.url) as (system, path):
            found = system.cat([f"{path}/{name}" for name in names], on_error="return")
            for content in found.values():
                if isinstance(content, Exception) and not isinstance(content, FileNotFoundError):
                    raise content
        return {path.rpartition("/")[2]: content for path, content in found.items() if isinstance(content, bytes)}

    def remove(self, names: Sequence[str]) -> None:
        """Removes objects of a folder, all at once."""
        if names:
            with _told(self.url) as (system, path):
                system.rm([f"{path}/{name}" for name in names])

    def version(self) -> str:
        """What tells an object from a former one of the same URL."""
        with _told(self.url) as (system, path):
            system.invalidate_cache()
            return system.ukey(path)

    def modified(self) -> float:
        """When an object was put, in seconds since the epoch by the clock of the store; 0.0 where it does not say."""
        with _told(self.url) as (system, path):
            try:
                return system.modified(path).timestamp()
            except NotImplementedError:
                return 0.0


Place = Path | Remote


def is_url(text: str | os.PathLike[str]) -> bool:
    """Whether a path is the URL of a store. That of a file is a path."""
    match = _URL.fullmatch(os.fspath(text))
    return match is not None and match["scheme"] != _FILE


def place(path: str | os.PathLike[str], what: str = "a folder") -> Place:
    """Where a path or a URL leads.

    Args:
        path: given by a caller.
        what: it is for, in messages.

    Raises:
        OptionError: It is no path, or the URL of nothing that fsspec knows.
        MissingDependencyError: See :class:`Remote`.
    """
    text = path_text(path, what)
    match = _URL.fullmatch(text)
    if match is None:
        return Path(text)
    if not match["rest"].strip("/"):
        raise OptionError(f"'{text}' is no URL of {what}: it names nothing but the store.")
    return Path(match["rest"]) if match["scheme"] == _FILE else Remote(text.rstrip("/"))


@contextlib.contextmanager
def fetched(file: Place) -> Iterator[Path]:
    """A file to read: itself, or a copy of an object for as long as it is needed.

    Raises:
        OSError: There is no such object, or it cannot be read.
    """
    if isinstance(file, Path):
        yield file
        return
    with tempfile.TemporaryDirectory(prefix="tfmpq-") as folder:
        local = Path(folder, file.name)
        with _told(file.url) as (system, path):
            try:
                system.get_file(path, os.fspath(local))
            except FileNotFoundError:
                if not system.isdir(path):
                    raise
            if not local.is_file():  # some systems make a folder of a folder
                raise IsADirectoryError(errno.EISDIR, "a folder, where one object is read", path)
        yield local


@contextlib.contextmanager
def placed(file: Place) -> Iterator[Path]:
    """A file to write: itself, in a folder that is made; or one that becomes an object once the context is left.

    What is written beside it becomes an object too, before it does.

    Raises:
        OSError: It cannot be written; what was there is untouched.
    """
    if isinstance(file, Path):
        file.parent.mkdir(parents=True, exist_ok=True)
        yield file
        return
    with filled(file.parent, last=file.name) as folder:
        yield folder / file.name


@contextlib.contextmanager
def filled(folder: Place, *, last: str = "") -> Iterator[Path]:
    """A folder to write files into: itself, or one whose files become objects once the context is left without error.

    Args:
        folder: need not exist.
        last: name of the file that becomes an object when all others have.

    Raises:
        OSError: An object cannot be put.
    """
    if isinstance(folder, Path):
        yield folder
        return
    with tempfile.TemporaryDirectory(prefix="tfmpq-") as name:
        yield Path(name)
        for file in sorted(Path(name).iterdir(), key=lambda file: (file.name == last, file.name)):
            with _told(f"{folder.url}/{file.name}") as (system, path):
                _in_folder(system, path, system.put_file, os.fspath(file), path)


def remove_folder(folder: Place) -> None:
    """Removes a folder with all that is in it; what cannot be removed stays."""
    if isinstance(folder, Path):
        shutil.rmtree(folder, ignore_errors=True)
        return
    with contextlib.suppress(OSError), _told(folder.url) as (system, path):
        system.invalidate_cache()
        system.rm(path, recursive=True)


def _in_folder(system: Any, path: str, write: Callable[..., None], *arguments: object, **options: object) -> None:
    """Writes an object; where folders are real ones its folder is made, and never a bucket, which may be mistyped."""
    try:
        write(*arguments, **options)
    except OSError as error:
        top = path[: path.index("/", 1)] if "/" in path[1:] else path
        if not (isinstance(error, FileNotFoundError) or error.errno == errno.ENOENT) or not system.exists(top):
            raise
        system.makedirs(path.rpartition("/")[0], exist_ok=True)
        write(*arguments, **options)


@contextlib.contextmanager
def _told(url: str) -> Iterator[tuple[Any, str]]:
    """The file system of a store and the path in it; its errors are OSErrors on one line with the URL."""
    system, path = _opened(url)
    try:
        yield system, path
    except Exception as error:  # those of botocore, aiohttp and google.auth have no base in common
        number = next((number for kind, number in _NUMBERS if isinstance(error, kind)), None)
        number = number or getattr(error, "errno", None) or errno.EIO
        said = " ".join(str(getattr(error, "strerror", None) or error).split())
        plain = said in ("", path, url, path.strip("/"))
        reason = said if not plain else type(error).__name__ if number == errno.EIO else os.strerror(number)
        raise OSError(number, reason, url) from error


def _opened(url: str) -> tuple[Any, str]:
    try:
        from fsspec.core import url_to_fs
    except ImportError as error:
        raise MissingDependencyError(f"'{url}' needs the package fsspec: pip install 'tfmpq[remote]'") from error
    try:
        return url_to_fs(url)
    except ImportError as error:  # fsspec says what to install
        raise MissingDependencyError(f"'{url}' needs a further package: {' '.join(str(error).split())}") from error
    except ValueError as error:
        raise OptionError(f"'{url}': {error}. Give the URL of a store that fsspec knows, or a path.") from error
    except Exception as error:  # of credentials that are looked for at once
        raise OSError(errno.EIO, " ".join(str(error).split()) or type(error).__name__, url) from error
