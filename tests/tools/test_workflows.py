"""Workflows, hooks and the Makefile speak of the same things."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
TARGETS = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


@pytest.mark.parametrize("path", [*WORKFLOWS, ROOT / ".ci" / "run"], ids=lambda path: path.name)
def test_every_target_that_is_made_is_one_of_the_makefile(path: Path):
    asked = re.findall(r"^(?: *- run: | *)make ([\w-]+)", path.read_text(), re.MULTILINE)
    assert asked or path.name == "release.yml"
    assert set(asked) <= TARGETS


def test_tests_run_on_the_versions_of_python_that_are_allowed():
    matrix = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())["jobs"]["test"]["strategy"]["matrix"]
    (allowed,) = re.findall(r'requires-python = ">=3\.(\d+),<3\.(\d+)"', (ROOT / "pyproject.toml").read_text())
    assert matrix["python"] == [f"3.{minor}" for minor in range(int(allowed[0]), int(allowed[1]))]


def test_what_changes_must_pass_here_is_a_job_there():
    here = set(re.findall(r"^make ([\w-]+)", (ROOT / ".ci" / "run").read_text(), re.MULTILINE))
    there = set(re.findall(r"run: make ([\w-]+)", (ROOT / ".github/workflows/ci.yml").read_text()))
    assert here <= there


def test_versions_are_those_of_the_package():
    (version,) = re.findall(r'__version__ = "(.+)"', (ROOT / "tfmpq" / "version.py").read_text())
    assert f'\nversion = "{version}"\n' in (ROOT / "pyproject.toml").read_text()
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text())["version"] == version
