"""The list of pinned artifacts: what is fetched, and what is refused."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tools.android.artifacts import Artifact, ArtifactError, complete, parse, pom

_LIST = Path(__file__).parents[3] / "android_demo" / "artifacts.txt"
_CONTENT = b"classes"
_PIN = hashlib.sha256(_CONTENT).hexdigest()
_WHERE = "{http://maven.apache.org/POM/4.0.0}"


def _fetch(content: bytes, log: list[str]):
    def fetch(artifacts: Sequence[Artifact], target: Path) -> None:
        for artifact in artifacts:
            log.append(artifact.file_name)
            (target / artifact.file_name).write_bytes(content)

    return fetch


def test_lines_are_read():
    found = parse(f"# comment\n\n{_PIN} org.x:lib:1.2\n{_PIN} org.x:lib:1.2:arm@aar\n")
    assert found == [
        Artifact(_PIN, "org.x", "lib", "1.2"),
        Artifact(_PIN, "org.x", "lib", "1.2", "arm", "aar"),
    ]
    assert [artifact.file_name for artifact in found] == ["lib-1.2.jar", "lib-1.2-arm.aar"]


@pytest.mark.parametrize(
    "line", ["org.x:lib:1.2", f"{_PIN[:16]} org.x:lib:1.2", f"{_PIN} org.x:lib", f"{_PIN} a:b:1 c"]
)
def test_unpinned_or_incomplete_lines_are_refused(line: str):
    with pytest.raises(ArtifactError, match="line 1"):
        parse(line)


def test_the_second_time_nothing_is_fetched(tmp_path: Path):
    artifacts, log = parse(f"{_PIN} org.x:lib:1.2"), []
    first = complete(artifacts, tmp_path / "cache", _fetch(_CONTENT, log))
    assert first["lib-1.2.jar"].read_bytes() == _CONTENT
    assert complete(artifacts, tmp_path / "cache", _fetch(_CONTENT, log)) == first
    assert log == ["lib-1.2.jar"]


def test_other_bytes_are_refused_and_not_kept(tmp_path: Path):
    artifacts = parse(f"{_PIN} org.x:lib:1.2")
    with pytest.raises(ArtifactError, match=f"pinned is {_PIN}"):
        complete(artifacts, tmp_path, _fetch(b"something else", []))
    assert not list(tmp_path.iterdir())


def test_a_cached_file_that_changed_is_refused(tmp_path: Path):
    artifacts = parse(f"{_PIN} org.x:lib:1.2")
    (tmp_path / "lib-1.2.jar").write_bytes(b"tampered")
    with pytest.raises(ArtifactError, match="sha256"):
        complete(artifacts, tmp_path, _fetch(_CONTENT, []))


def test_maven_is_asked_for_exactly_the_list(tmp_path: Path):
    artifacts = parse(_LIST.read_text(encoding="utf-8"))
    assert len({artifact.file_name for artifact in artifacts}) == len(artifacts)
    root = ElementTree.fromstring(pom(artifacts, tmp_path))
    items = [
        tuple(item.findtext(_WHERE + tag) for tag in ("groupId", "artifactId", "version", "classifier", "type"))
        for item in root.iter(_WHERE + "artifactItem")
    ]
    assert items == [(a.group, a.name, a.version, a.classifier, a.kind) for a in artifacts]
    assert root.findtext(f".//{_WHERE}url") == tmp_path.as_uri()
