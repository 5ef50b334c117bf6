"""The BUILD files: every Python file belongs to a target, and what targets name exists."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).absolute().parents[2]  # not resolved: under Bazel the files are links into the checkout
PACKAGES = (".", "tfmpq", "converters", "tests", "tools", "tools/bazel", "tools/native")
# No targets by intent: what the BUILD files are made of, and files that only other build systems use.
NOT_BAZEL = ("tools/bazel/shims/", "android_demo/", "build/", "dist/", ".venv/")


@dataclass
class Build:
    """What one BUILD file declares: rule calls with their attributes, sources as paths."""

    folder: Path
    targets: dict[str, dict[str, Any]] = field(default_factory=dict)

    def rule(self, name: str = "", **attributes: Any) -> None:
        assert name not in self.targets, f"{self.folder}: two targets are named {name!r}"
        self.targets[name] = attributes

    def glob(self, include: list[str], exclude: list[str] = (), **_: Any) -> list[str]:  # pyright: ignore
        found = {path.relative_to(self.folder) for pattern in include for path in self.folder.glob(pattern)}
        left_out = {path.relative_to(self.folder) for pattern in exclude for path in self.folder.glob(pattern)}
        return sorted(path.as_posix() for path in found - left_out)

    def sources(self) -> set[Path]:
        """Files of the package itself that its targets name as sources."""
        names: set[str] = set()
        for attributes in self.targets.values():
            names.update(attributes.get("srcs", []))
            names.update(filter(None, [attributes.get("src"), attributes.get("main")]))
        return {self.folder / name for name in names if not name.startswith((":", "//", "@"))}


def evaluate(package: str) -> Build:
    """Runs a BUILD file: Bazel's language is a subset of Python's."""
    build = Build(ROOT / package)
    rules = (
        "alias",
        "cc_binary",
        "cc_library",
        "py_binary",
        "py_library",
        "py_test",
        "pytest_test",
        "sh_test",
        "filegroup",
    )
    scope: dict[str, Any] = dict.fromkeys(rules, build.rule)
    for ignored in ("load", "package", "exports_files", "licenses"):
        scope[ignored] = lambda *_, **__: None
    scope |= {"glob": build.glob, "requirement": lambda name: f"@pypi//:{name}"}
    text = (ROOT / package / "BUILD").read_text()
    exec(compile(text, f"{package}/BUILD", "exec"), scope)
    return build


def in_bazel(path: Path) -> bool:
    return not path.relative_to(ROOT).as_posix().startswith(NOT_BAZEL)


@pytest.mark.parametrize("package", PACKAGES)
def test_what_targets_name_exists(package: str):
    assert [str(path) for path in evaluate(package).sources() if not path.is_file()] == []


def test_every_python_file_belongs_to_a_target():
    covered = set().union(*(evaluate(package).sources() for package in PACKAGES))
    files = {path for path in ROOT.rglob("*.py") if in_bazel(path) and ".runfiles" not in path.parts}
    assert len(files) > 100  # the search looks where it should
    assert sorted(str(path.relative_to(ROOT)) for path in files - covered) == []


def test_every_test_file_is_a_test():
    tests = evaluate("tests").targets
    folder = ROOT / "tests"
    names = {path.relative_to(folder).with_suffix("").as_posix() for path in folder.rglob("test_*.py")}
    own_process = {name for name in names if name.startswith("tfmpq/quantize_config/tfmot/")}
    assert names - own_process <= tests.keys()


def test_bazel_runs_a_cheap_test_of_every_package_by_day():
    tags = {name: set(target.get("tags", [])) for name, target in evaluate("tests").targets.items()}
    by_day = {name for name, found in tags.items() if "smoke" in found}
    assert "command_line" in by_day
    assert not any(tags[name] & {"heavy", "manual"} for name in by_day)

    def packages(names: Iterable[str]) -> set[str]:
        return {"/".join(name.split("/")[:-1][:2]) for name in names if name.startswith(("converters/", "tfmpq/"))}

    assert packages(name for name, found in tags.items() if not found & {"heavy", "manual"}) == packages(by_day)


def test_required_packages_are_known_to_both_ways_of_getting_them():
    targets = [target for package in PACKAGES for target in evaluate(package).targets.values()]
    labels = {label for target in targets for label in target.get("deps", [])}
    required = {label.removeprefix("@pypi//:") for label in labels if label.startswith("@pypi//:")}
    shims = (ROOT / "tools/bazel/shims/pypi/BUILD").read_text()
    pinned = {line.split("==")[0] for line in (ROOT / "tools/bazel/requirements.txt").read_text().splitlines()}
    assert required
    assert sorted(name for name in required if f'"{name}"' not in shims) == []
    assert sorted(required - pinned) == []


def test_dependencies_of_this_checkout_exist():
    builds = {package: evaluate(package) for package in PACKAGES}
    missing = []
    for package, build in builds.items():
        for name, attributes in build.targets.items():
            for label in [*attributes.get("deps", []), *filter(None, [attributes.get("actual")])]:
                if label.startswith("@"):
                    continue
                where, _, target = (
                    label.removeprefix("//").partition(":") if label.startswith("//") else (package, "", label[1:])
                )
                if (target or where.rpartition("/")[2]) not in builds[where or "."].targets:
                    missing.append(f"{package}:{name} -> {label}")
    assert missing == []
