"""What the check of an APK refuses."""

import struct
from pathlib import Path

import pytest

from tools.android import check as android_check
from tools.android.check import (
    CheckError,
    check_badging,
    check_dex,
    check_signature,
    check_zip,
    components,
    load_alignments,
)
from tools.android.pack import Entry, pack

_PAGE = 16384
_MANIFEST = Path(__file__).parents[3] / "android_demo" / "app" / "src" / "main" / "AndroidManifest.xml"


def _elf(alignment: int, wide: bool = True) -> bytes:
    """A library of a header and two program headers: one LOAD, and one that does not count."""
    if wide:
        header = b"\x7fELF\x02" + bytes(27) + struct.pack("<Q", 64) + bytes(14) + struct.pack("<HH", 56, 2) + bytes(6)
        headers = [struct.pack("<IIQQQQQQ", kind, 5, 0, 0, 0, 9, 9, align) for kind, align in ((1, alignment), (2, 8))]
    else:
        header = b"\x7fELF\x01" + bytes(23) + struct.pack("<I", 52) + bytes(10) + struct.pack("<HH", 32, 2) + bytes(6)
        headers = [struct.pack("<IIIIIIII", kind, 0, 0, 0, 9, 9, 5, align) for kind, align in ((1, alignment), (2, 8))]
    return header + b"".join(headers)


@pytest.mark.parametrize("wide", [True, False])
def test_alignment_of_load_segments(wide: bool):
    assert load_alignments(_elf(4096, wide)) == [4096]


def test_what_is_no_library_is_refused():
    with pytest.raises(CheckError, match="ELF"):
        load_alignments(b"PK" + bytes(100))


def _entries() -> dict[str, Entry]:
    names = [f"lib/{abi}/{name}" for abi, libraries in android_check._LIBRARIES.items() for name in libraries]
    entries = [Entry(name, _elf(_PAGE, "v7a" not in name), stored=True) for name in names]
    entries += [
        Entry("assets/models/m.tflite", b"m" * 40, stored=True),
        Entry("resources.arsc", b"r" * 40, stored=True),
    ]
    return {entry.name: entry for entry in entries}


def _packed(tmp_path: Path, entries: dict[str, Entry]) -> Path:
    pack(entries.values(), tmp_path / "a.apk")
    return tmp_path / "a.apk"


def test_a_good_archive_passes(tmp_path: Path):
    lines = check_zip(_packed(tmp_path, _entries()))
    assert lines[0] == "1 models stored, not compressed"
    assert len(lines) == 8  # and one for each library


@pytest.mark.parametrize(
    ("name", "entry", "message"),
    [
        ("assets/models/m.tflite", Entry("assets/models/m.tflite", b"m" * 400, stored=False), "compressed"),
        ("lib/x86_64/libjnijavacpp.so", None, "missing: lib/x86_64/libjnijavacpp.so"),
        ("assets/models/m.tflite", None, "no models"),
        (
            "lib/arm64-v8a/libjnijavacpp.so",
            Entry("lib/arm64-v8a/libjnijavacpp.so", _elf(4096), stored=True),
            "aligned to 4096 bytes, phones need 16384",
        ),
    ],
)
def test_a_bad_archive_is_refused(tmp_path: Path, name: str, entry: Entry | None, message: str):
    entries = _entries()
    del entries[name]
    if entry:
        entries[name] = entry
    with pytest.raises(CheckError, match=message):
        check_zip(_packed(tmp_path, entries))


def test_misaligned_entries_are_refused(tmp_path: Path):
    apk = _packed(tmp_path, _entries())
    shifted = tmp_path / "shifted.apk"
    shifted.write_bytes(b"\0" * 4 + apk.read_bytes())  # zip readers take bytes in front; mapping does not
    with pytest.raises(CheckError, match="multiple of"):
        check_zip(shifted)


_VERIFIED = "\n".join(
    (
        "Verifies",
        "Verified using v1 scheme (JAR signing): false",
        "Verified using v2 scheme (APK Signature Scheme v2): true",
        "Verified using v3 scheme (APK Signature Scheme v3): true",
    )
)


def test_both_signatures_are_needed():
    assert "verified" in check_signature(_VERIFIED)
    with pytest.raises(CheckError, match="v3"):
        check_signature(_VERIFIED.replace("v3): true", "v3): false"))


def test_badging_must_name_the_launcher_and_versions():
    output = (
        "package: name='p' versionCode='1'\nsdkVersion:'24'\ntargetSdkVersion:'35'\n"
        "launchable-activity: name='p.Main'  label='x' icon=''\nnative-code: 'arm64-v8a' 'armeabi-v7a' 'x86_64'\n"
    )
    assert check_badging(output, "p.Main").startswith("badging: package: name='p'")
    with pytest.raises(CheckError, match="launchable"):
        check_badging(output, "p.Other")
    with pytest.raises(CheckError, match="targetSdk"):
        check_badging(output.replace("'35'", "'34'"), "p.Main")


def test_the_dex_must_have_what_the_manifest_names():
    classes = components(_MANIFEST.read_text(encoding="utf-8"), "org.tfmpq.demo")
    assert classes[0] == "org.tfmpq.demo.ui.MainActivity"
    assert {"org.tfmpq.demo.ui.DemoApplication", "org.tfmpq.demo.ui.ReportProvider"} <= set(classes)
    dump = "\n".join(f"  Class descriptor  : 'L{name.replace('.', '/')};'" for name in classes)
    assert classes[1] in check_dex(dump, classes)
    with pytest.raises(CheckError, match=classes[0]):
        check_dex(dump.replace("MainActivity", "OtherActivity"), classes)


def test_a_missing_tool_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert android_check.main([str(tmp_path / "a.apk"), "--manifest", str(_MANIFEST)]) == 1
    assert "apt-get install apksigner" in capsys.readouterr().err
