from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from tools.release.wheel import problems

METADATA = """\
Metadata-Version: 2.4
Name: tfmpq
Version: 1.2.3
Summary: words
License-Expression: Apache-2.0
Description-Content-Type: text/markdown
Provides-Extra: plot
Provides-Extra: ray

# tfmpq
"""
SETTINGS = """\
[project.optional-dependencies]
plot = []
ray = []

[tool.setuptools.package-data]
"tfmpq" = ["py.typed"]
"tfmpq.demo" = ["*.keras"]
"converters.targets" = ["*.json"]
"""
FILES = ("tfmpq/version.py", "tfmpq/py.typed", "tfmpq/demo/net.keras", "converters/targets/xnnpack.json")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    folder = tmp_path / "checkout"
    for name in FILES:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("")
    (folder / "tfmpq" / "version.py").write_text('"""Version."""\n\n__version__ = "1.2.3"\n')
    (folder / "README.md").write_text("# tfmpq\n")
    (folder / "pyproject.toml").write_text(SETTINGS)
    return folder


def _wheel(checkout: Path, metadata: str = METADATA, *, files: tuple[str, ...] = FILES) -> Path:
    path = checkout / "tfmpq.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name in files:
            archive.writestr(name, "")
        archive.writestr("tfmpq-1.2.3.dist-info/METADATA", metadata)
        archive.writestr("tfmpq-1.2.3.dist-info/licenses/LICENSE", "")
    return path


def test_a_whole_wheel_has_no_problems(checkout: Path):
    assert problems(_wheel(checkout), checkout) == []


def test_files_that_are_missing_or_too_many_are_named(checkout: Path):
    files = (*FILES[:2], "tests/test_a.py", FILES[3])
    assert problems(_wheel(checkout, files=files), checkout) == [
        "'tfmpq/demo/net.keras' is missing",
        "'tests/test_a.py' has no place in it",
    ]


def test_metadata_that_are_not_the_checkouts_are_named(checkout: Path):
    metadata = METADATA.replace("1.2.3", "1.2.2").replace("Provides-Extra: ray\n", "").replace("# tfmpq", "# other")
    assert problems(_wheel(checkout, metadata), checkout) == [
        "Version is '1.2.2', not '1.2.3'",
        "the long description is not README.md",
        "there is no extra 'ray'",
    ]
