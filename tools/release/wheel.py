"""Whether a wheel holds what it should."""

from __future__ import annotations

import email.message
import email.parser
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

PACKAGES = ("tfmpq", "converters")
# Beside Python files; what pyproject.toml has under package-data.
DATA = ("**/py.typed", "converters/targets/*.json", "tfmpq/demo/*.keras", "tfmpq/demo/*.npz", "tfmpq/**/*.json")


def problems(wheel: Path, checkout: Path) -> list[str]:
    """What is wrong with a wheel, a line each: files that are missing or too many, metadata, the long description."""
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        (path,) = [name for name in names if name.endswith(".dist-info/METADATA")]
        metadata = email.parser.BytesParser().parsebytes(archive.read(path))
    version = (checkout / "tfmpq" / "version.py").read_text().partition('"""\n')[2].split('"')[1]
    return [*_files(names, checkout), *_metadata(metadata, version, checkout)]


def _files(names: Sequence[str], checkout: Path) -> Iterator[str]:
    inside = {name for name in names if ".dist-info/" not in name}
    patterns = ("tfmpq/**/*.py", "converters/**/*.py", *DATA)
    expected = {
        path.relative_to(checkout).as_posix()
        for package in PACKAGES
        for pattern in patterns
        for path in checkout.glob(pattern)
        if path.relative_to(checkout).parts[0] == package
    }
    yield from (f"'{name}' is missing" for name in sorted(expected - inside))
    yield from (f"'{name}' has no place in it" for name in sorted(inside - expected))
    if not any(name.endswith("/LICENSE") for name in names):
        yield "LICENSE is missing"


def _metadata(metadata: email.message.Message, version: str, checkout: Path) -> Iterator[str]:
    expected = {"Name": "tfmpq", "Version": version, "License-Expression": "Apache-2.0"}
    for key, value in expected.items():
        if metadata[key] != value:
            yield f"{key} is {metadata[key]!r}, not {value!r}"
    if not metadata["Summary"]:
        yield "there is no summary"
    if metadata["Description-Content-Type"] != "text/markdown":
        yield f"the long description is {metadata['Description-Content-Type']!r}, not Markdown"
    if str(metadata.get_payload()).strip() != (checkout / "README.md").read_text().strip():
        yield "the long description is not README.md"
    extras = set(metadata.get_all("Provides-Extra") or ())
    yield from (f"there is no extra {name!r}" for name in sorted({"best", "plot", "ray", "tfmot"} - extras))
