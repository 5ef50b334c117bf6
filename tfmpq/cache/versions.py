"""What else results depend on: versions, and the very sources of this package."""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import platform
from pathlib import Path

import converters
from tfmpq.version import __version__

_SOURCES = (Path(__file__).parents[1], Path(str(converters.__file__)).parent)
_TICK = 0.02  # seconds by which the times of files may be behind the clock
_PACKAGES = ("tensorflow", "keras", "tf_keras", "ai-edge-litert", "numpy", "numba")


@functools.cache
def versions() -> dict[str, str]:
    """Of the program, its sources, Python, the machine's kind and the packages that compute; "" of one not there."""
    found = {"tfmpq": __version__, "sources": sources_digest()}
    found |= {"python": platform.python_version(), "machine": platform.machine()}
    return found | {name: _version(name) for name in _PACKAGES}


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""


@functools.cache
def sources_digest() -> str:
    """Tells states of tfmpq's own sources apart, not only its releases."""
    digest = hashlib.blake2b(digest_size=4)
    for root in _SOURCES:
        for path in _files(root):
            digest.update(str(path.relative_to(root)).encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def changed_sources() -> str | None:
    """Why :func:`sources_digest` may not be that of the code which runs here: a file of it is newer; None: none is.

    To be asked after the digest is there, and again once there are results: modules are imported when they are needed.
    """
    for path in (path for root in _SOURCES for path in _files(root)):
        about = path.stat()
        if max(about.st_mtime, about.st_ctime) > converters.IMPORTED - _TICK:
            return f"'{path}' was changed after this process had begun; start it again"
    return None


def _files(root: Path) -> list[Path]:
    return sorted((*root.rglob("*.py"), *root.rglob("*.json")))
