"""Puts the parts of the Android app into one unsigned APK, the same bytes for the same parts.

Entries that the phone maps into memory (models, resources.arsc, native libraries) are stored, not compressed, and
aligned: libraries to 16 KiB pages, the rest to 16 bytes (what flatbuffers expect of their start). The padding is an
extra field 0xd935, which says the alignment: apksigner moves an entry without it. Standard library only.
"""

from __future__ import annotations

import argparse
import fnmatch
import struct
import sys
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

ALIGNMENT_FIELD = 0xD935
PAGE = 16384
BUFFER = 16
_LOCAL_HEADER = 30  # bytes of a zip entry's header before its name
_EPOCH = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True, eq=False)
class Entry:
    """A file of the APK; `stored` ones are not compressed."""

    name: str
    data: bytes
    stored: bool


def alignment_field(header_start: int, name: str, alignment: int) -> bytes:
    """The extra field that makes an entry's data start at a multiple of `alignment`.

    Args:
        header_start: offset of the entry's local header.
        name: of the entry, ASCII.
        alignment: bytes, at most 65535.
    """
    fixed = 6  # field id, its length, the alignment
    padding = -(header_start + _LOCAL_HEADER + len(name) + fixed) % alignment
    return struct.pack("<HHH", ALIGNMENT_FIELD, 2 + padding, alignment) + bytes(padding)


def pack(entries: Iterable[Entry], target: Path) -> None:
    """Writes the entries, ordered by name, without times or modes of the machine that builds.

    Raises:
        ValueError: two entries have the same name.
    """
    ordered = sorted(entries, key=lambda entry: entry.name)
    names = [entry.name for entry in ordered]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"more than one source for {', '.join(twice)}")
    with target.open("wb") as stream, zipfile.ZipFile(stream, "w") as archive:
        for entry in ordered:
            info = zipfile.ZipInfo(entry.name, _EPOCH)
            info.create_system = 0
            info.compress_type = zipfile.ZIP_STORED if entry.stored else zipfile.ZIP_DEFLATED
            if entry.stored:
                alignment = PAGE if entry.name.endswith(".so") else BUFFER
                info.extra = alignment_field(stream.tell(), entry.name, alignment)
            archive.writestr(info, entry.data)


def same_entries(archive: Path) -> Iterator[Entry]:
    """All files of an archive; what is stored there stays stored."""
    with zipfile.ZipFile(archive) as source:
        for info in source.infolist():
            if not info.is_dir():
                yield Entry(info.filename, source.read(info), info.compress_type == zipfile.ZIP_STORED)


def libraries(archive: Path, abis: Sequence[str]) -> Iterator[Entry]:
    """The native libraries of a jar (``lib/ABI/*.so``) or an AAR (``jni/ABI/*.so``) for the ABIs."""
    with zipfile.ZipFile(archive) as source:
        for name in source.namelist():
            parts = name.split("/")
            if len(parts) == 3 and parts[0] in ("lib", "jni") and parts[1] in abis and name.endswith(".so"):
                yield Entry(f"lib/{parts[1]}/{parts[2]}", source.read(name), stored=True)


def resources(archive: Path, pattern: str) -> Iterator[Entry]:
    """The files of a jar whose names match: Java resources."""
    with zipfile.ZipFile(archive) as source:
        for name in fnmatch.filter(source.namelist(), pattern):
            yield Entry(name, source.read(name), stored=False)


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--base", type=Path, required=True, help="linked resources: manifest, resources, assets")
    parser.add_argument("--dex", type=Path, required=True)
    parser.add_argument("--libraries", type=Path, nargs="+", default=[], help="jars and AARs with native libraries")
    parser.add_argument("--abis", nargs="+", required=True)
    parser.add_argument("--resources", nargs=2, metavar=("JAR", "PATTERN"), help="Java resources of a jar")
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args(arguments)
    entries = [*same_entries(options.base), Entry("classes.dex", options.dex.read_bytes(), stored=False)]
    for archive in options.libraries:
        entries += libraries(archive, options.abis)
    if options.resources:
        entries += resources(Path(options.resources[0]), options.resources[1])
    pack(entries, options.output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
