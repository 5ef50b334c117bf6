"""Fetches the pinned parts of the Android app: every artifact of a list, by Maven, checked by SHA-256.

    python3 -m tools.android.artifacts --list android_demo/artifacts.txt --cache DIR [--repository android_demo/maven]

Files that the cache already has are checked and not fetched, so a second build needs no network. Standard library only.
"""

from __future__ import annotations

import argparse
import hashlib
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape

_PLUGIN = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1"


class ArtifactError(Exception):
    """An artifact cannot be had, or is not the one that was pinned."""


@dataclass(frozen=True)
class Artifact:
    """One line of the list."""

    sha256: str
    group: str
    name: str
    version: str
    classifier: str = ""
    kind: str = "jar"

    @property
    def file_name(self) -> str:
        """As Maven names it."""
        return "-".join(filter(None, (self.name, self.version, self.classifier))) + f".{self.kind}"


def parse(text: str) -> list[Artifact]:
    """Reads ``sha256 group:artifact:version[:classifier][@type]`` lines; ``#`` starts a comment line.

    Raises:
        ArtifactError: a line is something else.
    """
    artifacts = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        words = line.split()
        coordinates, _, kind = words[-1].partition("@")
        parts = coordinates.split(":")
        if len(words) != 2 or len(words[0]) != 64 or len(parts) not in (3, 4):
            raise ArtifactError(f"line {number}: expected 'sha256 group:artifact:version[:classifier][@type]': {line}")
        artifacts.append(Artifact(words[0], parts[0], parts[1], parts[2], "".join(parts[3:]), kind or "jar"))
    return artifacts


def pom(artifacts: Sequence[Artifact], repository: Path | None) -> str:
    """A project that ``dependency:copy`` copies the artifacts for; `repository` is one more place to look in."""
    items = "".join(
        f"<artifactItem><groupId>{escape(a.group)}</groupId><artifactId>{escape(a.name)}</artifactId>"
        f"<version>{escape(a.version)}</version><type>{escape(a.kind)}</type>"
        f"<classifier>{escape(a.classifier)}</classifier></artifactItem>"
        for a in artifacts
    )
    place = (
        f"<repositories><repository><id>tree</id><url>{escape(repository.resolve().as_uri())}</url>"
        "<releases><checksumPolicy>ignore</checksumPolicy></releases></repository></repositories>"
        if repository
        else ""
    )
    group, name, version = _PLUGIN.split(":")
    return (
        '<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>'
        "<groupId>org.tfmpq</groupId><artifactId>tfmpq-demo-artifacts</artifactId><version>1</version>"
        f"<packaging>pom</packaging>{place}<build><plugins><plugin><groupId>{group}</groupId>"
        f"<artifactId>{name}</artifactId><version>{version}</version><configuration><artifactItems>{items}"
        "</artifactItems></configuration></plugin></plugins></build></project>"
    )


def fetch_by_maven(artifacts: Sequence[Artifact], target: Path, repository: Path | None) -> None:
    """Copies the artifacts into `target`, downloading what Maven's own cache lacks.

    Raises:
        ArtifactError: Maven is missing or failed.
    """
    maven = shutil.which("mvn")
    if maven is None:
        raise ArtifactError("mvn is needed for the first download: install Maven (Debian: apt-get install maven)")
    with tempfile.TemporaryDirectory() as folder:
        project = Path(folder) / "pom.xml"
        project.write_text(pom(artifacts, repository), encoding="utf-8")
        command = [maven, "-q", "-B", "-f", str(project), f"{_PLUGIN}:copy", f"-DoutputDirectory={target.resolve()}"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ArtifactError(f"Maven could not fetch the artifacts:\n{(done.stdout + done.stderr).strip()}")


def complete(
    artifacts: Sequence[Artifact], cache: Path, fetch: Callable[[Sequence[Artifact], Path], None]
) -> dict[str, Path]:
    """Sees that the cache has all artifacts, each with its pinned bytes; answers their files by name.

    Raises:
        ArtifactError: a file differs from its pin, or could not be fetched.
    """
    cache.mkdir(parents=True, exist_ok=True)
    missing = [a for a in artifacts if not (cache / a.file_name).is_file()]
    if missing:
        # A half-written file must not look like a cached one.
        with tempfile.TemporaryDirectory(dir=cache) as folder:
            fetch(missing, Path(folder))
            for artifact in missing:
                _check(artifact, Path(folder) / artifact.file_name)
                (Path(folder) / artifact.file_name).replace(cache / artifact.file_name)
    for artifact in artifacts:
        if artifact not in missing:
            _check(artifact, cache / artifact.file_name)
    return {a.file_name: cache / a.file_name for a in artifacts}


def _check(artifact: Artifact, path: Path) -> None:
    if not path.is_file():
        raise ArtifactError(f"{artifact.file_name} was not fetched")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    if digest != artifact.sha256:
        raise ArtifactError(
            f"{path}: sha256 is {digest}, pinned is {artifact.sha256}; delete the file and build "
            "again, and if it comes back like this do not use it"
        )


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; 0 when all artifacts are there."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--list", type=Path, required=True, help="file with one artifact a line")
    parser.add_argument("--cache", type=Path, required=True, help="folder that keeps the files")
    parser.add_argument("--repository", type=Path, help="folder with POMs that Maven Central lacks")
    options = parser.parse_args(arguments)
    try:
        artifacts = parse(options.list.read_text(encoding="utf-8"))
        files = complete(artifacts, options.cache, lambda these, to: fetch_by_maven(these, to, options.repository))
    except (OSError, ArtifactError) as error:
        print(f"android_artifacts: {error}", file=sys.stderr)
        return 1
    print(f"{len(files)} artifacts in {options.cache}, all as pinned")
    return 0


if __name__ == "__main__":
    sys.exit(main())
