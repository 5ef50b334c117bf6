"""Whether a wheel holds what it should."""

from __future__ import annotations

import email.message
import email.parser
import sys
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # pyright: ignore[reportMissingImports] (what 3.11 took over)

PACKAGES = ("tfmpq", "converters")


def problems(wheel: Path, checkout: Path) -> list[str]:
    """What is wrong with a wheel, a line each: files that are missing or too many, metadata, the long description."""
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        (path,) = [name for name in names if name.endswith(".dist-info/METADATA")]
        metadata = email.parser.BytesParser().parsebytes(archive.read(path))
    version = (checkout / "tfmpq" / "version.py").read_text().partition('"""\n')[2].split('"')[1]
    settings = tomllib.loads((checkout / "pyproject.toml").read_text())
    return [*_files(names, checkout, settings), *_metadata(metadata, version, checkout, settings)]


def _files(names: Sequence[str], checkout: Path, settings: Mapping[str, Any]) -> Iterator[str]:
    inside = {name for name in names if ".dist-info/" not in name}
    data = settings["tool"]["setuptools"]["package-data"]
    patterns = [f"{package}/**/*.py" for package in PACKAGES]
    patterns += [f"{package.replace('.', '/')}/{name}" for package, names in data.items() for name in names]
    expected = {path.relative_to(checkout).as_posix() for pattern in patterns for path in checkout.glob(pattern)}
    yield from (f"'{name}' is missing" for name in sorted(expected - inside))
    yield from (f"'{name}' has no place in it" for name in sorted(inside - expected))
    if not any(name.endswith("/LICENSE") for name in names):
        yield "LICENSE is missing"


def _metadata(
    metadata: email.message.Message, version: str, checkout: Path, settings: Mapping[str, Any]
) -> Iterator[str]:
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
    yield from (
        f"there is no extra {name!r}" for name in sorted(set(settings["project"]["optional-dependencies"]) - extras)
    )
