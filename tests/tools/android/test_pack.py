"""The packed APK: alignment that survives signing, and the same bytes for the same parts."""

import struct
import zipfile
from pathlib import Path

import pytest

from tools.android.check import data_offset
from tools.android.pack import (
    ALIGNMENT_FIELD,
    BUFFER,
    PAGE,
    Entry,
    alignment_field,
    libraries,
    main,
    pack,
    resources,
    same_entries,
)


@pytest.mark.parametrize("alignment", [BUFFER, PAGE])
@pytest.mark.parametrize("start", [0, 1, 977, PAGE - 40, 10 * PAGE + 5])
@pytest.mark.parametrize("name", ["a", "lib/arm64-v8a/libx.so"])
def test_the_extra_field_aligns_what_follows_it(start: int, name: str, alignment: int):
    field = alignment_field(start, name, alignment)
    assert (start + 30 + len(name) + len(field)) % alignment == 0
    header, length, said = struct.unpack_from("<HHH", field)
    assert (header, length, said) == (ALIGNMENT_FIELD, len(field) - 4, alignment)
    assert len(field) < 6 + alignment  # no page more than is needed


def _entries() -> list[Entry]:
    return [
        Entry("lib/x86_64/liba.so", b"so" * 5000, stored=True),
        Entry("classes.dex", b"dex" * 1000, stored=False),
        Entry("assets/models/m.tflite", b"model" * 99, stored=True),
        Entry("lib/arm64-v8a/liba.so", b"os" * 7000, stored=True),
    ]


def test_stored_entries_start_where_they_can_be_mapped(tmp_path: Path):
    apk = tmp_path / "a.apk"
    pack(_entries(), apk)
    with zipfile.ZipFile(apk) as archive:
        assert archive.namelist() == sorted(entry.name for entry in _entries())
        for entry in _entries():
            info = archive.getinfo(entry.name)
            assert archive.read(entry.name) == entry.data
            assert (info.compress_type == zipfile.ZIP_STORED) == entry.stored
            if entry.stored:
                assert data_offset(apk, info) % (PAGE if entry.name.endswith(".so") else BUFFER) == 0


def test_bytes_do_not_depend_on_order_or_time(tmp_path: Path):
    pack(_entries(), tmp_path / "a.apk")
    pack(reversed(_entries()), tmp_path / "b.apk")
    assert (tmp_path / "a.apk").read_bytes() == (tmp_path / "b.apk").read_bytes()


def test_two_sources_for_a_name_are_refused(tmp_path: Path):
    with pytest.raises(ValueError, match=r"classes\.dex"):
        pack([*_entries(), Entry("classes.dex", b"", stored=False)], tmp_path / "a.apk")


def _jar(path: Path, files: dict[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("lib/", b"")  # a folder may have an entry too
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def test_libraries_come_from_jars_and_aars_for_the_wanted_abis(tmp_path: Path):
    jar = _jar(
        tmp_path / "a.jar", {"lib/arm64-v8a/liba.so": b"1", "lib/x86/liba.so": b"2", "lib/arm64-v8a/a.txt": b"3"}
    )
    aar = _jar(tmp_path / "a.aar", {"jni/armeabi-v7a/libb.so": b"4", "classes.jar": b"5"})
    found = [*libraries(jar, ["arm64-v8a", "armeabi-v7a"]), *libraries(aar, ["arm64-v8a", "armeabi-v7a"])]
    assert [(entry.name, entry.data, entry.stored) for entry in found] == [
        ("lib/arm64-v8a/liba.so", b"1", True),
        ("lib/armeabi-v7a/libb.so", b"4", True),
    ]


def test_resources_are_chosen_by_pattern(tmp_path: Path):
    jar = _jar(tmp_path / "a.jar", {"p/android-arm64.properties": b"1", "p/linux.properties": b"2"})
    assert [entry.name for entry in resources(jar, "p/android-*.properties")] == ["p/android-arm64.properties"]


def test_the_base_keeps_what_is_stored(tmp_path: Path):
    stored = _jar(tmp_path / "base.apk", {"assets/models/m.tflite": b"m" * 50}, zipfile.ZIP_STORED)
    assert [(entry.name, entry.stored) for entry in same_entries(stored)] == [("assets/models/m.tflite", True)]
    deflated = _jar(tmp_path / "other.apk", {"res/a.xml": b"m" * 50})
    assert [(entry.name, entry.stored) for entry in same_entries(deflated)] == [("res/a.xml", False)]


def test_the_command_puts_all_parts_together(tmp_path: Path):
    base = _jar(tmp_path / "base.apk", {"AndroidManifest.xml": b"manifest"})
    jar = _jar(tmp_path / "a.jar", {"lib/x86_64/liba.so": b"so", "p/android-x.properties": b"properties"})
    (tmp_path / "classes.dex").write_bytes(b"dex")
    arguments = ["--base", base, "--dex", tmp_path / "classes.dex", "--abis", "x86_64", "--libraries", jar]
    arguments += ["--resources", jar, "p/android-*", "--output", tmp_path / "out.apk"]
    assert main([str(argument) for argument in arguments]) == 0
    with zipfile.ZipFile(tmp_path / "out.apk") as archive:
        assert archive.namelist() == [
            "AndroidManifest.xml",
            "classes.dex",
            "lib/x86_64/liba.so",
            "p/android-x.properties",
        ]
